"""Checks of layer arguments, and values derived from them."""

from fractions import Fraction
from typing import Literal, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.arguments import check, check_integer_types, is_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn.masked import Masked
from carafe_jax.ops import Scale, parse_scale


@no_type_check
def checked_features(
    features: Float[Array | np.ndarray, "n h w c"],
) -> Float[Array, "n h w c"]:
    features = as_map(features)
    if features.ndim != 4:
        raise RefusedError(
            f"`features` must have rank 4, (N, H, W, C), got shape {features.shape}."
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
    """Reshape per-channel values so that they broadcast over a feature map."""
    return jnp.asarray(values).reshape((1,) * (x.ndim - 1) + values.shape)


def check_int(name: str, value: object) -> None:
    """Raise unless the value is a positive int."""
    check_integer_types(name, value, [value])
    check(name, value, "be a positive int", holds=is_count(value))


def check_odd_int(name: str, value: object) -> None:
    """Raise unless the value is a positive odd int, the side of a centred window."""
    check_integer_types(name, value, [value])
    holds = is_count(value) and cast(int, value) % 2 == 1
    check(name, value, "be a positive odd int", holds=holds)


@no_type_check
def checked_scale(
    scale: Scale, direction: Literal["up", "down"], *, whole: bool = False
) -> Fraction:
    """Return the scale of an up-sampler or a down-sampler as a fraction.

    Args:
      scale: Output pixels per source pixel along each side.
      direction: Whether the layer up-samples or down-samples.
      whole: Whether the layer supports integer factors only: n, or 1/n.

    Raises:
      RefusedError: `scale` is invalid, or of the other direction; the message suggests
        its inverse, if the layer supports that.
    """
    fraction = parse_scale(scale)
    if fraction == 1 or (fraction > 1) == (direction == "up"):
        return fraction
    inverse = 1 / fraction
    taken = not whole or 1 in (inverse.numerator, inverse.denominator)
    hint = f"; did you mean {str(inverse)!r}?" if taken else "."
    raise RefusedError(
        f"`scale` must be at {'least' if direction == 'up' else 'most'} 1 to "
        f"{direction}-sample (output pixels per source pixel), got {scale!r}{hint}"
    )
