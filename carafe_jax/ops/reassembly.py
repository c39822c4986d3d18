"""The reassembly operator of CARAFE++: a weighted sum of each window of a map."""

import math
import re
import typing
from fractions import Fraction
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from carafe_pallas import support
from carafe_pallas.geometry import Geometry
from jaxtyping import Array, Float

from carafe_jax.ops import _autodiff

Implementation = Literal["xla", "mosaic_tpu", "mosaic_gpu", "triton"]
Scale = int | Fraction | str


@typing.no_type_check  # It refuses wrong arguments itself, in words.
def reassemble(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
    *,
    scale: Scale = 2,
    implementation: Implementation | None = None,
) -> Float[Array, "n oh ow c"]:
    r"""Reassemble a feature map with one kernel for each output pixel.

    With scale u/d, windows of k x k pixels (r = k // 2) and g(c) the group of channel
    c, Eq. 3 of CARAFE++ (arXiv:2012.04733) for any rational scale::

        out[n, i, j, c] = sum over (a, b) in [-r, r]^2 of
            kernels[n, i, j, g(c), (a + r) * k + (b + r)]
            * features[n, i * d // u + a, j * d // u + b, c]

    Pixels outside the map count as zero. Groups are contiguous blocks of C / G
    channels. In plain JAX, for one group, it equals::

        padded = jnp.pad(features, ((0, 0), (r, r), (r, r), (0, 0)))
        rows = (jnp.arange(OH) * d // u)[:, None, None, None] + jnp.arange(k)[:, None]
        columns = (jnp.arange(OW) * d // u)[:, None, None] + jnp.arange(k)
        weights = kernels.reshape(N, OH, OW, k, k)
        out = jnp.einsum("nijabc,nijab->nijc", padded[:, rows, columns], weights)

    Differentiable in both arguments, to any order in reverse mode (`jax.custom_vjp` has
    no forward mode: take Hessian-vector products reverse over reverse).

    Args:
      features: Map of H x W pixels and C channels, floating. For more leading axes use
        `jax.vmap`.
      kernels: Weights of the k*k taps, row by row, already normalised, floating;
        OH = ceil(H * u / d) and OW = ceil(W * u / d). G, which divides C, and k, which
        is odd, are read from the shape.
      scale: Output pixels per source pixel along each side: an int, a
        `fractions.Fraction` or a string such as "1/2".
      implementation: "xla" is plain JAX and runs everywhere. None takes the best one
        for the platform that is compiled for.

    Returns:
      The reassembled map in the dtype of `features`. Sums are taken in float32, or in
      float64 where an argument has it.

    Raises:
      ValueError: An argument breaks a rule above; the message names it.
      NotImplementedError: The implementation asked for cannot run this call.
    """
    _check_implementation(implementation)
    fraction = parse_scale(scale)
    features, kernels = jnp.asarray(features), jnp.asarray(kernels)
    _check_array("features", features, rank=4, layout="(N, H, W, C)")
    _check_array("kernels", kernels, rank=5, layout="(N, H_out, W_out, G, k*k)")
    geometry = _geometry(features, kernels, fraction)
    spec = _autodiff.Spec(geometry, features.dtype, kernels.dtype, features.dtype)
    return _autodiff.reassemble(spec, features, kernels)


@typing.no_type_check  # It refuses wrong arguments itself, in words.
def parse_scale(scale: Scale) -> Fraction:
    """Return `scale`, in output pixels per source pixel, in lowest terms.

    Args:
      scale: A positive int, `fractions.Fraction` or string such as "3/2".

    Raises:
      ValueError: `scale` is of another type (a float is never exact), or not positive.
    """
    if isinstance(scale, float):
        raise ValueError(
            "`scale` must be an int, a fractions.Fraction or a string such as '1/2', "
            f"got the float {scale}."
        )
    exact = isinstance(scale, (int, Fraction)) and not isinstance(scale, bool)
    if not exact and not (
        isinstance(scale, str) and re.fullmatch(r"\s*\d+\s*(/\s*0*[1-9]\d*\s*)?", scale)
    ):
        raise ValueError(
            "`scale` must be an int, a fractions.Fraction or a string such as '1/2', "
            f"got {scale!r}."
        )
    fraction = Fraction("".join(scale.split()) if isinstance(scale, str) else scale)
    if fraction <= 0:
        raise ValueError(f"`scale` must be positive, got {scale}.")
    return fraction


def _check_implementation(implementation: object) -> None:
    names = get_args(Implementation)
    if implementation is not None and implementation not in names:
        raise ValueError(
            f"`implementation` must be None or one of {', '.join(map(repr, names))}, "
            f"got {implementation!r}."
        )
    if isinstance(implementation, str) and implementation != "xla":
        reason = support.refusal(implementation)
        if reason is not None:
            raise NotImplementedError(
                f"`implementation={implementation!r}` cannot run: {reason}."
            )


def _check_array(name: str, x: jax.Array, *, rank: int, layout: str) -> None:
    if x.ndim != rank:
        raise ValueError(
            f"`{name}` must have {rank} axes, {layout}, got shape {x.shape}."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.itemsize < 2:
        raise ValueError(
            f"`{name}` must be of a floating dtype of at least 16 bits, got {x.dtype}."
        )


def _geometry(features: jax.Array, kernels: jax.Array, scale: Fraction) -> Geometry:
    n, h, w, c = features.shape
    groups, taps = kernels.shape[3:]
    kernel_size = math.isqrt(taps)
    if kernel_size**2 != taps or kernel_size % 2 == 0:
        raise ValueError(
            "`kernels` must have k*k taps with k odd in its last axis, "
            f"got {taps} (shape {kernels.shape})."
        )
    if groups == 0 or c % groups:
        raise ValueError(
            f"`kernels` must have a number of groups that divides the {c} channels of "
            f"`features`, got {groups} (shape {kernels.shape})."
        )
    if h == 0 or w == 0:
        raise ValueError(
            f"`features` must have at least one pixel, got shape {features.shape}."
        )
    geometry = Geometry.of(h, w, scale=scale, kernel_size=kernel_size, groups=groups)
    expected = (n, geometry.rows.output_size, geometry.columns.output_size)
    if kernels.shape[:3] != expected:
        raise ValueError(
            "`kernels` must have shape (N, H_out, W_out, G, k*k) with "
            f"(N, H_out, W_out) = {expected} for `features` of shape {features.shape} "
            f"at scale {scale}, got {kernels.shape}."
        )
    return geometry
