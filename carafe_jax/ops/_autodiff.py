"""Differentiation of the reassembly, to any order in reverse mode.

Forward, gradient of the features and gradient of the kernels are the three partial
derivatives of one trilinear form T(features, kernels, g). The vjp of each is therefore
made of the other two, and the family closes: no launch is ever differentiated by JAX.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Geometry
from jaxtyping import Array, Float

from carafe_jax.ops import _xla


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is static in a reassembly. Dtypes are those of the primal arguments."""

    geometry: Geometry
    features_dtype: jnp.dtype
    kernels_dtype: jnp.dtype
    cotangent_dtype: jnp.dtype


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def reassemble(
    spec: Spec,
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
) -> Float[Array, "n oh ow c"]:
    """Partial derivative of T with respect to g."""
    return _xla.reassemble(
        features, kernels, geometry=spec.geometry, dtype=spec.cotangent_dtype
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def grad_features(
    spec: Spec,
    kernels: Float[Array, "n oh ow g taps"],
    cotangent: Float[Array, "n oh ow c"],
) -> Float[Array, "n h w c"]:
    """Partial derivative of T with respect to the features."""
    return _xla.grad_features(
        kernels, cotangent, geometry=spec.geometry, dtype=spec.features_dtype
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def grad_kernels(
    spec: Spec,
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
) -> Float[Array, "n oh ow g taps"]:
    """Partial derivative of T with respect to the kernels."""
    return _xla.grad_kernels(
        features, cotangent, geometry=spec.geometry, dtype=spec.kernels_dtype
    )


def _reassemble_bwd(spec, residuals, cotangent):
    features, kernels = residuals
    return (
        grad_features(spec, kernels, cotangent),
        grad_kernels(spec, features, cotangent),
    )


def _grad_features_bwd(spec, residuals, features):
    kernels, cotangent = residuals
    return grad_kernels(spec, features, cotangent), reassemble(spec, features, kernels)


def _grad_kernels_bwd(spec, residuals, kernels):
    features, cotangent = residuals
    return grad_features(spec, kernels, cotangent), reassemble(spec, features, kernels)


for _primal, _backward in (
    (reassemble, _reassemble_bwd),
    (grad_features, _grad_features_bwd),
    (grad_kernels, _grad_kernels_bwd),
):
    _primal.defvjp(
        lambda spec, x, y, _primal=_primal: (_primal(spec, x, y), (x, y)), _backward
    )
