"""Checks of layers' arguments, and the values that follow from them."""

from fractions import Fraction
from typing import Literal, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.arguments import check
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


def check_int(name: str, value: object) -> None:
    """Refuse what is no positive int."""
    check(name, value, "be a positive int", holds=is_count(value))


def check_odd_int(name: str, value: object) -> None:
    """Refuse what is no positive odd int: sides of windows with a central pixel."""
    holds = is_count(value) and cast(int, value) % 2 == 1
    check(name, value, "be a positive odd int", holds=holds)


@no_type_check
def checked_scale(
    scale: Scale, direction: Literal["up", "down"], *, whole: bool = False
) -> Fraction:
    """Return the scale of a layer that resamples in one direction.

    Args:
      scale: Output pixels per source pixel along each side.
      direction: Whether the layer enlarges or reduces maps.
      whole: Whether it does so by whole factors alone: n, or 1/n.

    Raises:
      RefusedError: `scale` is invalid, or for the other direction; the message suggests
        its inverse, if the layer takes that.
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
