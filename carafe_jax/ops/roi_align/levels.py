"""The level of a feature pyramid that a region is read from."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carafe_jax.arguments import check_count, check_positive_finite
from carafe_jax.errors import no_type_check
from carafe_jax.ops.boxes import checked_boxes


@no_type_check
def roi_levels(
    boxes: Float[Array | np.ndarray, "*b 4"],
    *,
    levels: int,
    finest_scale: float = 56.0,
) -> Int[Array, "*b"]:
    """Return the level of the pyramid that each region is read from, by its size.

    Eq. 1 of Feature Pyramid Networks (arXiv:1612.03144), counted from the finest map,
    with the margin of mmdetection::

        floor(log2(sqrt(width * height) / finest_scale + 1e-6))

    clamped to the levels there are. Powers of two are compared instead of taking the
    logarithm: its rounding would decide at the boundaries.

    Args:
      boxes: Regions x1, y1, x2, y2 in pixels.
      levels: Number of levels, the finest first.
      finest_scale: Regions below twice this side, in pixels, are read from level 0.

    Returns:
      Levels in [0, levels); 0 for empty regions.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.

    >>> import jax.numpy as jnp
    >>> from carafe_jax import ops
    >>> boxes = jnp.array([[0.0, 0, 50, 50], [0, 0, 448, 448]])
    >>> print(ops.roi_levels(boxes, levels=4))
    [0 3]
    """
    boxes = checked_boxes("boxes", boxes)
    check_count("levels", levels)
    check_positive_finite("finest_scale", finest_scale)
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    ratio = jnp.sqrt(jnp.maximum(width * height, 0.0)) / finest_scale + 1e-6
    above = [(ratio >= 2.0**level).astype(np.int32) for level in range(1, levels)]
    return sum(above, jnp.zeros(ratio.shape, np.int32))
