"""Checks of the arrays that operators take."""

import jax
import jax.numpy as jnp

from carafe_jax.errors import RefusedError


def check_array(name: str, x: jax.Array, *, rank: int, layout: str) -> None:
    """Raise unless `x` has this rank and a floating dtype of at least 16 bits."""
    if x.ndim != rank:
        raise RefusedError(
            f"`{name}` must have rank {rank}, {layout}, got shape {x.shape}."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.itemsize < 2:
        raise RefusedError(
            f"`{name}` must be of a floating dtype of at least 16 bits, got {x.dtype}."
        )
