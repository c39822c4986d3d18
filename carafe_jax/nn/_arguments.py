"""Checks of layers' arguments, and the values that follow from them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn.masked import Masked


@no_type_check
def checked_features(
    features: Float[Array | np.ndarray, "n h w c"],
) -> Float[Array, "n h w c"]:
    features = as_map(features)
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


@no_type_check
def as_map(features: Float[Array | np.ndarray, "n h w c"]) -> Float[Array, "n h w c"]:
    if isinstance(features, Masked):
        raise RefusedError(
            "`features` must be one map, got a `Masked`: maps with holes need the "
            "layers whose names begin with Partial, such as "
            "functools.partial(PartialCARAFE, reassembly=CARAFEDownsample)."
        )
    return jnp.asarray(features)


def along_channels(
    values: Float[Array | np.ndarray, " c"], x: Float[Array, "*s c"]
) -> Float[Array, "*t c"]:
    """Return values of channels with as many axes as a map."""
    return jnp.asarray(values).reshape((1,) * (x.ndim - 1) + values.shape)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
