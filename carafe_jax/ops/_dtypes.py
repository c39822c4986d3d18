"""The dtype of sums."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import DTypeLike


def wide_dtype(*dtypes: DTypeLike) -> np.dtype:
    """Return the dtype of sums: float32, or that of `dtypes` which is wider.

    JAX's `promote_types` refuses this, too, under `jax_numpy_dtype_promotion="strict"`.

    Args:
      *dtypes: Of the terms; those that are not floating have no say.
    """
    floating = (x for x in map(jnp.dtype, dtypes) if jnp.issubdtype(x, jnp.floating))
    return functools.reduce(np.promote_types, floating, np.dtype(np.float32))
