"""Bilinear sampling of a map at positions that depend on its content."""

import jax.numpy as jnp
import numpy as np
from carafe_pallas.geometry import Size
from jaxtyping import Array, Float, Int

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.arguments import check_array
from carafe_jax.ops.dtypes import wide_dtype


# Our own errors for wrong arguments are clearer.
@no_type_check
def sample_bilinear(
    features: Float[Array | np.ndarray, "n h w c"],
    *,
    rows: Float[Array | np.ndarray, "n oh ow g"],
    columns: Float[Array | np.ndarray, "n oh ow g"],
) -> Float[Array, "n oh ow c"]:
    r"""Sample a map at fractional positions, which may differ by group of channels.

    With y = rows[n, i, j, g(c)] and x = columns[n, i, j, g(c)]::

        out[n, i, j, c] = sum over pixels (p, q) of
            max(0, 1 - |y - p|) * max(0, 1 - |x - q|) * features[n, p, q, c]

    Pixel centres have integer positions, and pixels outside the map count as zero; for
    edge padding, clamp the positions to [0, h - 1] and [0, w - 1]. Groups are
    contiguous blocks of c / g channels.

    Differentiable in all three arrays. The derivative with respect to an integer
    position is the one-sided derivative towards larger positions. It is zero at
    positions of at most -1, and of at least h (or w), as in mmcv.

    The four pixels around each position are gathered. Where the compiler does not fuse
    gathers with their sum, as on TPUs, they need four times the memory of the output.

    Args:
      features: Feature map, floating.
      rows: Row of each sample in pixels, floating; g must divide c.
      columns: Column of each sample, of the same shape.

    Returns:
      The samples in the dtype of `features`, summed in float32 or wider.

    Raises:
      RefusedError: An array has a wrong rank, shape or dtype, or g does not divide c.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import sample_bilinear
      >>> features = jnp.array([[0.0, 1.0], [2.0, 3.0]])[None, :, :, None]
      >>> rows, columns = jnp.full((2, 1, 1, 1, 1), 0.5)
      >>> float(sample_bilinear(features, rows=rows, columns=columns)[0, 0, 0, 0])
      1.5
    """
    features, rows, columns = (jnp.asarray(x) for x in (features, rows, columns))
    _check_arguments(features, rows, columns)
    n, height, width, channels = features.shape
    _, *size, groups = rows.shape
    samples = (n, size[0] * size[1], groups)
    wide = wide_dtype(features.dtype, rows.dtype, columns.dtype)
    pixels = features.reshape(n, height * width, groups, channels // groups)
    # Rows and columns of the output become one axis, as those of `pixels` did.
    rows, columns = (x.astype(wide).reshape(samples) for x in (rows, columns))
    top, row_weights = _neighbours(rows, height)
    left, column_weights = _neighbours(columns, width)
    corners = top[:, :, None] * width + left[:, None]
    weights = row_weights[:, :, None] * column_weights[:, None]
    found = _pixels_at(pixels, corners.reshape(n, 4 * samples[1], groups))
    found = found.reshape(*weights.shape, channels // groups)
    out = (weights[..., None] * found.astype(wide)).sum((1, 2))
    return out.reshape(n, *size, channels).astype(features.dtype)


def _neighbours(
    positions: Float[Array, "n s g"], size: Size
) -> tuple[Int[Array, "n 2 s g"], Float[Array, "n 2 s g"]]:
    """Return the integer positions below and above each one, and their weights.

    Those outside the map are replaced by the nearest inside, with a weight of zero.
    """
    # Samples far outside are zero, as at -1. Moved there, they fit int32, and have no
    # gradient.
    reaches = (positions > -1) & (positions < size)
    positions = jnp.where(reaches, positions, -1)
    lower = jnp.floor(positions)
    upper_weight = positions - lower
    index = lower.astype(jnp.int32)
    index = jnp.stack([index, index + 1], axis=1)
    weights = jnp.stack([1 - upper_weight, upper_weight], axis=1)
    inside = (index >= 0) & (index < size)
    return jnp.clip(index, 0, size - 1), jnp.where(inside, weights, 0)


def _pixels_at(
    pixels: Float[Array, "n p g c"], index: Int[Array, "n s g"]
) -> Float[Array, "n s g c"]:
    return jnp.take_along_axis(
        pixels, index[..., None], axis=1, mode="promise_in_bounds"
    )


def _check_arguments(features: Array, rows: Array, columns: Array) -> None:
    check_array("features", features, rank=4, layout="(N, H, W, C)")
    check_array("rows", rows, rank=4, layout="(N, OH, OW, G)")
    check_array("columns", columns, rank=4, layout="(N, OH, OW, G)")
    if 0 in features.shape[1:]:
        raise RefusedError(
            "`features` must have at least one pixel and channel, got shape "
            f"{features.shape}."
        )
    if rows.shape != columns.shape:
        raise RefusedError(
            "`rows` and `columns` must have one shape, got "
            f"{rows.shape} and {columns.shape}."
        )
    if rows.shape[0] != features.shape[0]:
        raise RefusedError(
            f"`rows` must have the {features.shape[0]} examples of `features`, got "
            f"shape {rows.shape}."
        )
    groups = rows.shape[3]
    if groups == 0 or features.shape[3] % groups:
        raise RefusedError(
            "`rows` must have a number of groups that divides the "
            f"{features.shape[3]} channels of `features`, got {groups}."
        )
