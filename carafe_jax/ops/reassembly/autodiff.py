"""Differentiation of the reassembly, to any order in reverse mode.

Forward, gradient of the features and gradient of the kernels are the three partial
derivatives of one trilinear form T(features, kernels, g). The VJP of each therefore
consists of the other two, and JAX never differentiates a launch.

`reassemble_logits` fuses the normalizer into its launches. Its VJP consists of two more
fused launches. The VJP of these is that of the unfused computation: the normalizer,
then one of the three derivatives.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import jax
from jaxtyping import Array, Float

from carafe_jax.ops.reassembly import launches
from carafe_jax.ops.reassembly.launches import Spec
from carafe_jax.ops.reassembly.normalization import normalize, pull_back
from carafe_jax.ops.sharding import like


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def reassemble(
    spec: Spec,
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
) -> Float[Array, "n oh ow c"]:
    """Return the partial derivative of T with respect to g: the output."""
    return launches.reassemble(spec, features, kernels)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def grad_features(
    spec: Spec,
    kernels: Float[Array, "n oh ow g taps"],
    cotangent: Float[Array, "n oh ow c"],
) -> Float[Array, "n h w c"]:
    """Return the partial derivative of T with respect to the features."""
    return launches.grad_features(spec, kernels, cotangent)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def grad_kernels(
    spec: Spec,
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
) -> Float[Array, "n oh ow g taps"]:
    """Return the partial derivative of T with respect to the kernels."""
    return launches.grad_kernels(spec, features, cotangent)


_Pair = tuple[Array, Array]


def _reassemble_bwd(spec: Spec, residuals: _Pair, cotangent: Array) -> _Pair:
    features, kernels = residuals
    return (
        like(grad_features(spec, kernels, cotangent), features),
        like(grad_kernels(spec, features, cotangent), kernels),
    )


def _grad_features_bwd(spec: Spec, residuals: _Pair, features: Array) -> _Pair:
    kernels, cotangent = residuals
    return (
        like(grad_kernels(spec, features, cotangent), kernels),
        like(reassemble(spec, features, kernels), cotangent),
    )


def _grad_kernels_bwd(spec: Spec, residuals: _Pair, kernels: Array) -> _Pair:
    features, cotangent = residuals
    return (
        like(grad_features(spec, kernels, cotangent), features),
        like(reassemble(spec, features, kernels), cotangent),
    )


# Any: the type of a function is lost in `jax.custom_vjp`.
def _keep_operands(
    primal: Any, spec: Spec, *operands: Array
) -> tuple[Array, tuple[Array, ...]]:
    """Run a function, with its operands as the residuals of its VJP."""
    return primal(spec, *operands), operands


for _primal, _backward in (
    (reassemble, _reassemble_bwd),
    (grad_features, _grad_features_bwd),
    (grad_kernels, _grad_kernels_bwd),
):
    _primal.defvjp(functools.partial(_keep_operands, _primal), _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def reassemble_logits(
    spec: Spec,
    features: Float[Array, "n h w c"],
    logits: Float[Array, "n ah aw phases taps"],
) -> Float[Array, "n oh ow c"]:
    """Normalise the logits over their taps and reassemble."""
    return launches.reassemble(spec, features, logits)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _logits_grad_features(spec: Spec, logits: Array, cotangent: Array) -> Array:
    return launches.grad_features(spec, logits, cotangent)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grad_logits(spec: Spec, features: Array, cotangent: Array, logits: Array) -> Array:
    return launches.grad_kernels(spec, features, cotangent, logits)


def _reassemble_logits_bwd(spec: Spec, residuals: _Pair, cotangent: Array) -> _Pair:
    features, logits = residuals
    return (
        like(_logits_grad_features(spec, logits, cotangent), features),
        like(_grad_logits(spec, features, cotangent, logits), logits),
    )


def _unfused_logits_grad_features(spec: Spec, logits: Array, cotangent: Array) -> Array:
    assert spec.normalizer is not None
    kernels = normalize(logits, geometry=spec.geometry, normalizer=spec.normalizer)
    return grad_features(_normalized(spec), kernels, cotangent)


def _unfused_grad_logits(
    spec: Spec, features: Array, cotangent: Array, logits: Array
) -> Array:
    assert spec.normalizer is not None
    gradient = cast(Array, grad_kernels(_normalized(spec), features, cotangent))
    gradient = pull_back(
        gradient, logits, geometry=spec.geometry, normalizer=spec.normalizer
    )
    return gradient.astype(logits.dtype)


def _normalized(spec: Spec) -> Spec:
    return dataclasses.replace(spec, normalizer=None)


def _unfused_vjp(
    unfused: Callable[..., Array],
    spec: Spec,
    operands: tuple[Array, ...],
    cotangent: Array,
) -> tuple[Array, ...]:
    _, vjp = cast(Any, jax.vjp(functools.partial(unfused, spec), *operands))
    return vjp(cotangent)


reassemble_logits.defvjp(
    functools.partial(_keep_operands, reassemble_logits), _reassemble_logits_bwd
)
for _fused, _unfused in (
    (_logits_grad_features, _unfused_logits_grad_features),
    (_grad_logits, _unfused_grad_logits),
):
    _fused.defvjp(
        functools.partial(_keep_operands, _fused),
        functools.partial(_unfused_vjp, _unfused),
    )
