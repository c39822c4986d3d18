"""RoIAlign: the mean of bilinear samples in each bin of a region."""

from collections.abc import Iterable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.arguments import check, check_count, check_positive_finite
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.boxes import Boxes, check_slots, checked_boxes
from carafe_jax.ops.roi_align.levels import roi_levels
from carafe_jax.ops.roi_align.pooling import pool
from carafe_jax.ops.roi_align.regions import (
    Spec,
    join_levels,
    locate,
    order_by_windows,
    take_regions,
)


@no_type_check
def roi_align(
    pyramid: Sequence[Float[Array | np.ndarray, "n _ _ c"]],
    boxes: Boxes,
    *,
    strides: Sequence[int],
    output_size: int | tuple[int, int],
    sampling_ratio: int | None = None,
    finest_scale: float = 56.0,
) -> Float[Array, "n r oh ow c"]:
    """Pool the features of regions, each from the level that fits its size.

    RoIAlign of Mask R-CNN (arXiv:1703.06870, section 3), as mmcv computes it with
    `aligned=True`. A region is divided into bins. Along each axis, in cells of its
    level, bin i has the samples::

        bin = (x2 - x1) / stride / output_size
        n = sampling_ratio or ceil(bin)
        samples = x1 / stride - 0.5 + (i + (arange(n) + 0.5) / n) * bin

    The feature of a bin is the mean over its n_y * n_x samples, each interpolated
    bilinearly. Samples beyond [-1, size] are zero; those inside, but beyond the
    outermost centres of cells, are clamped to them. A region without width or height
    has no samples, and features 0.

    Memory does not depend on the regions; time does: it grows with the number of
    windows of 32 x 32 cells that cover each of them. Gradients flow into the pyramid,
    to any order in reverse mode, and not into the boxes.

    Args:
      pyramid: Feature maps of the levels, floating, the finest first.
      boxes: Regions of each image, x1, y1, x2, y2 in pixels.
      strides: Pixels per cell of each level.
      output_size: Bins along each axis, or (rows, columns).
      sampling_ratio: Samples of a bin along each axis; None: ceil(bin), by region.
      finest_scale: As for `roi_levels`, which chooses the level.

    Returns:
      One feature for each bin of a region, in the dtype of the pyramid, summed in
      float32 or wider. Those of slots that are not valid are 0.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.

    >>> import jax.numpy as jnp
    >>> from carafe_jax import ops
    >>> ramp = jnp.broadcast_to(jnp.arange(8.0)[:, None], (1, 8, 8, 1))
    >>> boxes = ops.Boxes(jnp.array([[[2.0, 2.0, 6.0, 6.0]]]), jnp.array([[True]]))
    >>> pooled = ops.roi_align([ramp], boxes, strides=[1], output_size=2)
    >>> print(pooled[0, 0, 0])
    [[2.5]
     [4.5]]
    """
    pyramid = _checked_pyramid(pyramid, strides)
    spec = _checked_spec(output_size, sampling_ratio)
    n, _, _, c = pyramid[0].shape
    check_slots("boxes", boxes)
    coordinates = checked_boxes("boxes", boxes.coordinates)
    if coordinates.ndim != 3 or len(coordinates) != n:
        raise RefusedError(
            f"`boxes` must have shape (n, r, 4) for the {n} images of `pyramid`, got "
            f"{coordinates.shape}."
        )
    regions = locate(
        jax.lax.stop_gradient(coordinates),
        jnp.asarray(boxes.valid),
        roi_levels(coordinates, levels=len(pyramid), finest_scale=finest_scale),
        sizes=[(h, w) for _, h, w, _ in (level.shape for level in pyramid)],
        strides=strides,
        spec=spec,
    )
    if n == 0 or coordinates.shape[1] == 0:
        shape = (n, coordinates.shape[1], *spec.output_size, c)
        return jnp.zeros(shape, pyramid[0].dtype)
    order = order_by_windows(regions)
    cells = join_levels(pyramid, window=spec.window)
    features = cast(Array, pool(spec, cells, take_regions(regions, order)))
    features = take_regions(features, jnp.argsort(order, axis=1))
    return features.astype(cells.dtype)


@no_type_check
def _checked_pyramid(
    pyramid: Sequence[Float[Array | np.ndarray, "n _ _ c"]], strides: Sequence[int]
) -> list[Float[Array, "n _ _ c"]]:
    if not isinstance(pyramid, Iterable):
        raise RefusedError(f"`pyramid` must be a sequence of maps, got {pyramid!r}.")
    levels = [jnp.asarray(level) for level in pyramid]
    shapes = [level.shape for level in levels]
    if not levels or any(len(shape) != 4 or 0 in shape[1:3] for shape in shapes):
        raise RefusedError(
            "`pyramid` must be one or more maps (n, h, w, c) with at least one cell, "
            f"got shapes {shapes}."
        )
    if len({(n, c) for n, _, _, c in shapes}) > 1:
        raise RefusedError(
            "`pyramid` must have the same images and channels on each level, "
            f"got shapes {shapes}."
        )
    dtypes = [level.dtype for level in levels]
    if len(set(dtypes)) > 1 or not jnp.issubdtype(dtypes[0], jnp.floating):
        raise RefusedError(
            f"`pyramid` must have one floating dtype on all levels, got {dtypes}."
        )
    rule = f"be {len(levels)} positive numbers, one for each level of `pyramid`"
    holds = isinstance(strides, Iterable) and len(strides) == len(levels)
    check("strides", strides, rule, holds=holds)
    for stride in strides:
        check_positive_finite("strides", stride)
    return levels


@no_type_check
def _checked_spec(
    output_size: int | tuple[int, int], sampling_ratio: int | None
) -> Spec:
    size = output_size if isinstance(output_size, Sequence) else (output_size,) * 2
    rule = "be a positive int or two of them"
    check("output_size", output_size, rule, holds=len(size) == 2)
    for bins in size:
        check_count("output_size", bins)
    if sampling_ratio is not None:
        check_count("sampling_ratio", sampling_ratio)
    return Spec((int(size[0]), int(size[1])), sampling_ratio)
