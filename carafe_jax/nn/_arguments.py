"""What resamplers ask of their arguments, and make of them."""

import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.reassembly import Scale, parse_scale


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


@no_type_check
def cast(
    features: Float[Array, "n h w c"], dtype: Dtype | None
) -> Float[Array, "n h w c"]:
    return checked_features(features).astype(dtype or features.dtype)


@no_type_check
def stride_of(scale: Scale) -> int:
    fraction = parse_scale(scale)
    if fraction > 1:
        raise RefusedError(f"`scale` must be at most 1 to down-sample, got {fraction}.")
    if fraction.numerator != 1:
        raise RefusedError(
            f"`scale` must be 1/n with a whole n for this layer, got {fraction}."
        )
    return fraction.denominator


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@no_type_check
def check_kernel_size(kernel_size: int) -> None:
    if not isinstance(kernel_size, int) or kernel_size < 1:
        raise RefusedError(
            f"`kernel_size` must be an int of at least 1, got {kernel_size!r}."
        )


def output_channels(features: Float[Array, "n h w c"], channels: int | None) -> int:
    if channels is None:
        return features.shape[-1]
    if channels < 1:
        raise RefusedError(f"`features` must be None or at least 1, got {channels}.")
    return channels


def sum_dtype(features: Float[Array, "n h w c"]) -> np.dtype:
    return jnp.promote_types(features.dtype, jnp.float32)
