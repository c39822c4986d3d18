"""Reassembly and its two gradients on GPUs of sm_80 and later (Pallas, Triton).

Each launch is a banded matrix product. A tile is `rows x columns` anchors, with R
output pixels (source pixels, in the gradient of the features). Entry (output, source)
of the band is the tap at which the output reads the source, else zero. Taps are
computed from the coordinates, so that every scale takes the same path.

    reassemble      band (R outputs x sources) @ features (sources x channels)
    grad_features   band (R sources x outputs) @ cotangent (outputs x channels)
    grad_kernels    band of: cotangent (R outputs x channels) @ features^T

grid = (column tiles * groups * programs, row tiles, batch): the programs of a tile
share its blocks of channels. There are no atomics: results are deterministic.

With a normalizer, `reassemble` normalises inside the launch if one product takes the
whole band (`depth`): it multiplies by exponentials, and scales the sums by their
totals, which take one more product. The band is loaded once for all blocks of channels.
Otherwise plain JAX normalises before the launch, and always for the gradient of the
features, in which several tiles read the same logits. `grad_kernels` always pulls the
gradient back to the logits, along the rows of its band.

Memory of a block of `reassemble` at x2, k = 5, C = 256, bfloat16 with the default
configuration (R = 64): in shared memory the band, 64 x 64 (8 KiB), and the pixels,
64 x 128, of two blocks of channels (32 KiB); in registers the float32 sums, 64 x 128
(32 for each of 256 threads).

Normalised kernels are by output pixel, logits by anchor.

Float32 products do not use tensor cores, which would round to TensorFloat-32: there the
zeros of the band cost time, about half of it at x2. The zeros are multiplied by pixels,
so a NaN or an infinity in a pixel spreads over the tiles that load it. Pixels outside
the map, and kernels of phases past it, are never loaded.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas import normalizers
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry
from carafe_pallas.triton.grad_features_body import grad_features_body
from carafe_pallas.triton.grad_kernels_body import grad_kernels_body
from carafe_pallas.triton.heuristics import heuristic
from carafe_pallas.triton.plan import Plan, TuningConfig, plan_of
from carafe_pallas.triton.reassemble_body import reassemble_body


def reassemble(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n ah aw channels"] | Float[Array, "n oh ow g taps"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n oh ow c"]:
    """Return the sum of each window of the features, weighted by its kernel."""
    call = Call.of(features, kernels.dtype, geometry=geometry, normalizer=normalizer)
    plan = _plan(call, "reassemble", config)
    out = jax.ShapeDtypeStruct(call.output_shape, dtype)
    if plan.normalizer is None:
        kernels = _normalized(kernels, geometry, normalizer)
    return _launch(reassemble_body, plan, out, features, kernels, interpret=interpret)


def grad_features(
    kernels: Float[Array, "n ah aw channels"] | Float[Array, "n oh ow g taps"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n h w c"]:
    """Return the gradient of the features."""
    call = Call.of(cotangent, kernels.dtype, geometry=geometry, normalizer=normalizer)
    plan = _plan(call, "grad_features", config)
    grad = jax.ShapeDtypeStruct(call.features_shape, dtype)
    kernels = _normalized(kernels, geometry, normalizer)
    return _launch(
        grad_features_body, plan, grad, kernels, cotangent, interpret=interpret
    )


def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    logits: Float[Array, "n ah aw channels"] | None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n ah aw channels"] | Float[Array, "n oh ow g taps"]:
    """Return the gradient of the kernels, or of the logits if there is a normalizer."""
    # The factors of the products are the features and the cotangent, not the kernels.
    call = Call.of(features, cotangent.dtype, geometry=geometry, normalizer=normalizer)
    plan = _plan(call, "grad_kernels", config)
    by_pixel = normalizer is None
    shape = call.pixel_kernels_shape if by_pixel else call.anchor_kernels_shape
    grad = jax.ShapeDtypeStruct(shape, dtype)
    operands = [features, cotangent, *([] if logits is None else [logits])]
    return _launch(grad_kernels_body, plan, grad, *operands, interpret=interpret)


def _plan(call: Call, launch: Launch, config: TuningConfig | None) -> Plan:
    return plan_of(call, launch, config or heuristic(call, launch))


def _normalized(
    kernels: Array, geometry: Geometry, normalizer: Normalizer | None
) -> Array:
    """Return kernels that are normalised in plain JAX, before a launch."""
    if normalizer is None:
        return kernels
    pixels = geometry.phases * geometry.groups
    shape = (*kernels.shape[:3], pixels, geometry.taps)
    logits = kernels.reshape(shape).astype(jnp.float32)
    normalized = normalizers.normalize(logits, normalizer)
    return normalized.reshape(kernels.shape).astype(kernels.dtype)


def _launch(
    body: Any,
    plan: Plan,
    out: jax.ShapeDtypeStruct,
    *operands: Array,
    interpret: bool,
) -> Array:
    config, (columns, rows) = plan.config, plan.grid
    return pl.pallas_call(
        functools.partial(body, plan=plan),
        out_shape=out,
        grid=(columns * plan.programs, rows, out.shape[0]),
        compiler_params=pltriton.CompilerParams(
            num_warps=config.num_warps, num_stages=config.num_stages
        ),
        interpret=interpret,
        name=f"carafe_{plan.launch}",
    )(*operands)
