"""Checks of layers' arguments, and the values that follow from them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check


@no_type_check
def checked_features(
    features: Float[Array | np.ndarray, "n h w c"],
) -> Float[Array, "n h w c"]:
    features = jnp.asarray(features)
    if features.ndim != 4:
        raise RefusedError(
            f"`features` must have rank 4, (n, h, w, c), got shape {features.shape}."
        )
    if not jnp.issubdtype(features.dtype, jnp.floating):
        raise RefusedError(f"`features` must be floating, got dtype {features.dtype}.")
    if 0 in features.shape[1:]:
        raise RefusedError(
            "`features` must have at least one row, column and channel, got shape "
            f"{features.shape}."
        )
    return features


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def sum_dtype(features: Float[Array, "n h w c"]) -> np.dtype:
    return jnp.promote_types(features.dtype, jnp.float32)
