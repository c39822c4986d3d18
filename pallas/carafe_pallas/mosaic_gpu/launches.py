"""Reassembly and its two gradients on Hopper GPUs (Pallas, Mosaic GPU).

    reassemble, grad_features   grid (N, blocks of rows, of columns, of channels)
    grad_kernels                grid (N, blocks of rows, of columns)

A thread block is one warpgroup of 128 threads. It computes `rows` x `Plan.anchors`
anchors and `channels` channels of one group. In `grad_kernels` it loops over the
channels of all groups, so that no other block adds to its sums.

TMA copies the patch of source pixels (zeros outside the map) and the kernels to shared
memory. Each thread normalises whole kernels; then it holds eight channels of `run`
neighbouring pixels and sums float32 products over the taps. A loaded feature serves all
phases and, with `run` > 1, the windows of the neighbours.

Several blocks share an SM, so that one computes while another waits for its copies.
Shared memory of a block: `Plan.shared`.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry
from carafe_pallas.mosaic_gpu.grad_features_body import grad_features_body
from carafe_pallas.mosaic_gpu.grad_kernels_body import grad_kernels_body
from carafe_pallas.mosaic_gpu.heuristics import heuristic
from carafe_pallas.mosaic_gpu.layouts import interpreter
from carafe_pallas.mosaic_gpu.plan import WORD, Box, Plan, TuningConfig, pad_map
from carafe_pallas.mosaic_gpu.reassemble_body import reassemble_body

# Calls outside of `jax.jit` are compiled as well, and once.
_compiled = functools.partial(
    jax.jit,
    static_argnames=("geometry", "normalizer", "dtype", "config", "interpret"),
)


def _launch(
    body: Callable[..., None],
    plan: Plan,
    launch: Launch,
    out_type: jax.ShapeDtypeStruct,
    **dtypes: Any,
) -> Callable[..., Array]:
    """Return the launch; `dtypes` of arrays in shared memory override the plan's."""
    scratch = [
        plgpu.SMEM(shape, dtypes.get(name, dtype))
        for name, (shape, dtype) in plan.shared(launch).items()
    ]
    barriers = [
        plgpu.Barrier(num_arrivals=arrivals, num_barriers=count)
        for arrivals, count in plan.barriers(launch)
    ]
    grid, names = plan.grid, ("images", "rows", "columns")
    if launch != "grad_kernels":
        grid, names = (*grid, plan.channel_blocks), (*names, "channels")
    return plgpu.kernel(
        functools.partial(body, plan=plan),
        out_type=out_type,
        scratch_types=[*scratch, *barriers],
        grid=grid,
        grid_names=names,
        compiler_params=plgpu.CompilerParams(
            # Layouts are explicit; JAX 0.12 would infer them by default.
            lowering_semantics=plgpu.LoweringSemantics.Lane,
            # Barriers are explicit: one for all taps instead of two for each.
            unsafe_no_auto_barriers=True,
        ),
        kernel_name=f"carafe_{launch}",
        interpret=interpreter() if plan.interpret else None,
    )


@_compiled
def reassemble(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n ah aw phases_groups_taps"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n oh ow c"]:
    """Return the sum of each window of the features, weighted by its kernel."""
    call = Call.of(features, kernels.dtype, geometry=geometry, normalizer=normalizer)
    plan = _plan(call, "reassemble", config, interpret=interpret)
    out = jax.ShapeDtypeStruct(call.output_shape, jnp.dtype(dtype))
    launch = _launch(reassemble_body, plan, "reassemble", out, out_smem=dtype)
    return launch(_padded(features, plan, plan.patch), _flat_kernels(kernels, plan))


@_compiled
def grad_features(
    kernels: Float[Array, "n ah aw phases_groups_taps"],
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
    plan = _plan(call, "grad_features", config, interpret=interpret)
    out = jax.ShapeDtypeStruct(call.features_shape, jnp.dtype(dtype))
    launch = _launch(grad_features_body, plan, "grad_features", out, out_smem=dtype)
    return launch(_flat_kernels(kernels, plan), _padded(cotangent, plan, plan.readers))


@_compiled
def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    logits: Float[Array, "n ah aw phases_groups_taps"] | None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n ah aw phases_groups_taps"]:
    """Return the gradient of the kernels, or of the logits if there is a normalizer."""
    kernels_dtype = dtype if logits is None else logits.dtype
    call = Call.of(features, kernels_dtype, geometry=geometry, normalizer=normalizer)
    plan = _plan(call, "grad_kernels", config, interpret=interpret)
    n, rows, columns, channels = call.anchor_kernels_shape
    # Rows are padded to whole blocks, because a block writes all of its anchors.
    padded = n, rows, plan.padded_anchors, channels
    out = jax.ShapeDtypeStruct((math.prod(padded),), jnp.dtype(dtype))
    # A block's kernels begin where those of the block before end.
    if (size := plan.anchors * channels * out.dtype.itemsize) % WORD:
        raise ValueError(
            f"`config` must give blocks whose kernels fill units of {WORD} bytes, got "
            f"{size} bytes with {plan.config}."
        )
    launch = _launch(
        grad_kernels_body,
        plan,
        "grad_kernels",
        out,
        out_smem=dtype,
        cotangent_smem=cotangent.dtype,
    )
    operands = [
        _padded(features, plan, plan.patch),
        _padded(cotangent, plan, plan.output),
        *([] if logits is None else [_flat_kernels(logits, plan)]),
    ]
    return launch(*operands).reshape(padded)[:, :, :columns]


def _plan(
    call: Call, launch: Launch, config: TuningConfig | None, *, interpret: bool
) -> Plan:
    return Plan(call, config or heuristic(call, launch), interpret)


def _padded(array: Array, plan: Plan, boxes: tuple[Box, Box]) -> Array:
    return pad_map(array, *boxes) if plan.interpret else array


def _flat_kernels(kernels: Array, plan: Plan) -> Array:
    """Return kernels as a flat array, since TMA needs rows of whole 16 bytes."""
    flat = kernels.reshape(-1)
    return jnp.pad(flat, plan.kernels_margin) if plan.interpret else flat
