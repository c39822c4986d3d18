"""Adaptive average pooling to a given number of bins."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check_ints
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.arguments import check_array
from carafe_jax.ops.dtypes import wide_dtype


# Our own errors for wrong arguments are clearer.
@no_type_check
def adaptive_average_pool(
    features: Float[Array | np.ndarray, "n h w c"], *, size: Sequence[int]
) -> Float[Array, "n bh bw c"]:
    """Average a map over a grid of bins, as PyTorch's `AdaptiveAvgPool2d`.

    Bin i of b covers the rows `floor(i * h / b)` to `ceil((i + 1) * h / b)`, columns
    likewise. Neighbouring bins overlap where b does not divide h, and repeat rows where
    b is larger than h. The averages are two products with matrices of constants:
    an infinite value or NaN spreads to all bins of its channel.

    Args:
      features: Feature map, floating.
      size: Numbers of bins along the rows and columns, `(bh, bw)`.

    Returns:
      The averages, summed in float32 or wider, in the dtype of `features`.

    Raises:
      RefusedError: The map is not of rank 4, floating and non-empty, or `size` is not
        two positive ints.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import adaptive_average_pool
      >>> row = jnp.arange(5.0).reshape(1, 1, 5, 1)
      >>> adaptive_average_pool(row, size=(1, 2)).ravel().tolist()
      [1.0, 3.0]
    """
    features = jnp.asarray(features)
    check_array("features", features, rank=4, layout="(N, H, W, C)")
    if 0 in features.shape[1:3]:
        raise RefusedError(
            "`features` must have at least one row and column, got shape "
            f"{features.shape}."
        )
    check_ints("size", size, length=2)
    wide = wide_dtype(features.dtype)
    rows, columns = (
        _bin_weights(length, bins, wide)
        for length, bins in zip(features.shape[1:3], size, strict=True)
    )
    pooled = jnp.einsum(
        "ah,nhwc,bw->nabc",
        rows,
        features.astype(wide),
        columns,
        precision=jax.lax.Precision.HIGHEST,
    )
    return pooled.astype(features.dtype)


# A length may be symbolic, which is no int at run time.
@no_type_check
def _bin_weights(length: int, bins: int, dtype: DTypeLike) -> Float[Array, "bins h"]:
    positions = jnp.arange(length, dtype=np.int32)[None]
    edges = [
        (bin_ * length // bins, -(-(bin_ + 1) * length // bins)) for bin_ in range(bins)
    ]
    starts, stops = (
        jnp.stack([jnp.asarray(edge, np.int32) for edge in side])[:, None]
        for side in zip(*edges, strict=True)
    )
    inside = (starts <= positions) & (positions < stops)
    return inside.astype(dtype) / (stops - starts).astype(dtype)
