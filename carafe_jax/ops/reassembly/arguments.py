"""Checks of the operator's arguments, and the geometry that they describe."""

import math
import operator
import re
from fractions import Fraction
from typing import Any, cast, get_args

import jax
import numpy as np
from carafe_pallas.call import Normalizer
from carafe_pallas.geometry import Geometry

from carafe_jax.errors import RefusedError, no_type_check

Scale = int | np.integer | Fraction | str

_EXACT = re.compile(r"\d+|\d+\.\d*|\.\d+|\d+\s*/\s*\d+")


@no_type_check
def parse_scale(scale: Scale) -> Fraction:
    """Return `scale`, in output pixels per source pixel, in lowest terms.

    Args:
      scale: A positive int (NumPy's too), `fractions.Fraction` or string such as "3/2"
        or "1.5".

    Raises:
      RefusedError: `scale` is not positive, or of another type. Floats are refused
        because most fractions are not exact in them.
    """
    fraction = _exactly(scale)
    if fraction is None:
        kind = "the float " if isinstance(scale, float | np.floating) else ""
        raise RefusedError(
            "`scale` must be an int, a fractions.Fraction or a string such as '1/2' or "
            f"'1.5', got {kind}{scale if kind else repr(scale)}."
        )
    if fraction <= 0:
        raise RefusedError(f"`scale` must be positive, got {scale}.")
    return fraction


def _exactly(scale: object) -> Fraction | None:
    """Return a scale as a Fraction; None if its type or spelling is not allowed."""
    if isinstance(scale, str):
        written = scale.strip()
        if _EXACT.fullmatch(written) is None:
            return None
        try:
            return Fraction("".join(written.split()))
        except ZeroDivisionError:
            return None
    if isinstance(scale, Fraction):
        return scale
    whole: Any = scale  # Any: NumPy's integer types are generic in their width.
    if isinstance(whole, bool) or not isinstance(whole, int | np.integer):
        return None
    # `Fraction` would keep a NumPy integer, whose arithmetic overflows.
    return Fraction(operator.index(cast(Any, whole)))


def check_normalizer(normalizer: object) -> None:
    """Raise unless `normalizer` is the name of a normalizer."""
    if normalizer not in get_args(Normalizer):
        names = ", ".join(map(repr, get_args(Normalizer)))
        raise RefusedError(f"`normalizer` must be one of {names}, got {normalizer!r}.")


def geometry_of_kernels(
    features: jax.Array, kernels: jax.Array, scale: Fraction
) -> Geometry:
    """Return the geometry of a map and its kernels by output pixel, or raise."""
    n, _, _, c = features.shape
    groups, taps = kernels.shape[3:]
    kernel_size = math.isqrt(taps)
    if kernel_size**2 != taps or kernel_size % 2 == 0:
        raise RefusedError(
            "`kernels` must have k*k taps with k odd in its last axis, "
            f"got {taps} (shape {kernels.shape})."
        )
    if groups == 0 or c % groups:
        raise RefusedError(
            f"`kernels` must have a number of groups that divides the {c} channels of "
            f"`features`, got {groups} (shape {kernels.shape})."
        )
    geometry = _geometry(features, scale, kernel_size, groups)
    expected = (n, geometry.rows.output_size, geometry.columns.output_size)
    if kernels.shape[:3] != expected:
        raise RefusedError(
            "`kernels` must have shape (N, H_out, W_out, G, k*k) with "
            f"(N, H_out, W_out) = {expected} for `features` of shape {features.shape} "
            f"at scale {scale}, got {kernels.shape}."
        )
    return geometry


def geometry_of_logits(
    features: jax.Array,
    logits: jax.Array,
    *,
    scale: Fraction,
    kernel_size: int,
    groups: int,
) -> Geometry:
    """Return the geometry of a map and its logits by anchor, or raise."""
    for name, value in (("kernel_size", kernel_size), ("groups", groups)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RefusedError(f"`{name}` must be a positive int, got {value!r}.")
    if kernel_size % 2 == 0:
        raise RefusedError(f"`kernel_size` must be odd, got {kernel_size}.")
    n, _, _, c = features.shape
    if c % groups:
        raise RefusedError(
            f"`groups` must divide the {c} channels of `features`, got {groups}."
        )
    geometry = _geometry(features, scale, kernel_size, groups)
    anchors = (geometry.rows.anchors, geometry.columns.anchors)
    expected = (n, *anchors, geometry.anchor_channels)
    if logits.shape != expected:
        raise RefusedError(
            f"`logits` must have shape (N, AH, AW, u*u*G*k*k) = {expected} for "
            f"`features` of shape {features.shape} at scale {scale}, "
            f"got {logits.shape}."
        )
    return geometry


def _geometry(
    features: jax.Array, scale: Fraction, kernel_size: int, groups: int
) -> Geometry:
    _, h, w, _ = features.shape
    if h == 0 or w == 0:
        raise RefusedError(
            f"`features` must have at least one pixel, got shape {features.shape}."
        )
    return Geometry.of(h, w, scale=scale, kernel_size=kernel_size, groups=groups)
