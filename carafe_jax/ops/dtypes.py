"""The accumulation dtype."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import DTypeLike


def wide_dtype(*dtypes: DTypeLike) -> np.dtype:
    """Return the accumulation dtype: float32, or the widest of `dtypes` if wider.

    Args:
      *dtypes: Dtypes of the terms; those that are not floating are ignored.
    """
    # `jnp.promote_types` would raise under `jax_numpy_dtype_promotion="strict"`.
    wide: np.dtype = np.dtype(np.float32)
    for dtype in dtypes:
        own: np.dtype = jnp.dtype(dtype)
        wide = np.promote_types(wide, own) if jnp.issubdtype(own, np.floating) else wide
    return wide
