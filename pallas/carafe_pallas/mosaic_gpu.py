"""Reassembly and its two gradients on Hopper GPUs and later (Pallas, Mosaic GPU).

A block is a warpgroup of 128 threads, over a few rows of anchors, a run of anchors
along the columns and a block of channels of one group; the gradient of the weights runs
over the blocks of channels of all groups instead. The copy engine brings the patch of
source pixels (zeros outside the map) and the weights into shared memory; threads
normalise the weights, a row of taps each; then every thread holds eight channels of a
few neighbouring pixels and sums float32 products over the taps. A feature that it loads
serves all the phases and, with `run` > 1, its neighbours' windows.

Several blocks share a processor, so that one copies while another computes. Shared
memory of a block: `Plan.shared`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas._mosaic_gpu_plan import WORD, Plan, widen
from carafe_pallas._mosaic_gpu_plan import TuningConfig as TuningConfig
from carafe_pallas._mosaic_gpu_readers import grad_features_kernel
from carafe_pallas._mosaic_gpu_tiles import interpreter
from carafe_pallas._mosaic_gpu_windows import grad_kernels_kernel, reassemble_kernel
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry

# A call outside `jax.jit` is compiled once as well.
_compiled = functools.partial(
    jax.jit,
    static_argnames=("geometry", "normalizer", "dtype", "config", "interpret"),
)

KERNELS_BY_PIXEL = False

_DTYPES = ("float32", "bfloat16", "float16")
_SHARED_LIMIT = 227 * 1024  # Bytes of a block, of the 228 KiB of a processor.
_SHARED_TARGET = 76 * 1024  # Three blocks a processor.
_COPY_LIMIT = 256  # Entries along an axis of one copy.
_LAUNCHES: tuple[Launch, ...] = ("reassemble", "grad_features", "grad_kernels")


def refusal(call: Call) -> str | None:
    """Return why these kernels cannot run the call; None where they can."""
    groups = call.geometry.groups
    if call.channels % (8 * groups):
        return f"`C / groups` must be a multiple of 8, got {call.channels} / {groups}"
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    if call.geometry.kernel_size == groups == 1:
        return "`kernel_size` must be at least 3 with one group, got 1"
    if (largest := _largest(call)) >= 2**31:
        return f"arrays must have less than 2**31 elements, got {largest}"
    for launch in _LAUNCHES:
        plan = Plan(call, heuristic(call, launch), interpret=False)
        if (shared := plan.shared_bytes(launch)) > _SHARED_LIMIT:
            return (
                f"`scale` and `kernel_size` need {shared} bytes of shared memory in "
                f"`{launch}`, the limit is {_SHARED_LIMIT}"
            )
        boxes = (*plan.patch, *plan.output, *plan.source, *plan.readers)
        if (longest := max(box.size for box in boxes)) > _COPY_LIMIT:
            return (
                f"`scale` and `kernel_size` need boxes of {longest} pixels in "
                f"`{launch}`, the limit is {_COPY_LIMIT}"
            )
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks by arithmetic alone; nothing here was measured."""
    channels = call.channels // call.geometry.groups
    narrow = jnp.dtype(call.features_dtype).itemsize < 4
    widest = 64 if launch == "grad_kernels" else 128
    if launch == "reassemble" and not narrow:
        widest = 64
    block = next(b for b in (128, 64, 32, 16, 8) if b <= widest and not channels % b)
    # With more phases the sums of two neighbours would not fit the registers.
    run = 2 if launch == "reassemble" and block == 128 and _up(call) <= 2 else 1
    for rows in (4, 2, 1):
        config = TuningConfig(rows=rows, tiles=1, channels=block, run=run)
        if _fits(Plan(call, config, interpret=False), launch):
            break
    return config


def _fits(plan: Plan, launch: Launch) -> bool:
    """Whether several blocks share a processor, each with sums in registers."""
    if plan.shared_bytes(launch) > _SHARED_TARGET:
        return False
    if launch != "grad_features":
        return plan.config.rows <= 2
    # All sums of a block are held at once, in code that is not looped.
    rows = plan.call.geometry.rows
    readers = sum(len(rows.readers(residue)) for residue in range(rows.down)) ** 2
    return plan.config.rows * rows.down**2 <= 8 and plan.config.rows * readers <= 400


def _up(call: Call) -> int:
    return call.geometry.columns.up


def _largest(call: Call) -> int:
    rows, columns = call.geometry.rows, call.geometry.columns
    weights = rows.up**2 * call.geometry.groups * call.geometry.kernel_size**2
    # Anchors of the gradient are rounded up to whole blocks.
    anchors = rows.anchors * (columns.anchors + _COPY_LIMIT)
    pixels = max(rows.size * columns.size, rows.output_size * columns.output_size)
    return call.batch * max(call.channels * pixels, anchors * weights)


def _launch(
    body: Callable[..., None],
    plan: Plan,
    launch: Launch,
    out_type: jax.ShapeDtypeStruct,
    **dtypes: Any,
) -> Callable[..., Array]:
    """Make the launch; `dtypes` of shared arrays where they differ from the plan's."""
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
        # Barriers are placed by hand: one for all taps instead of two for each.
        compiler_params=plgpu.CompilerParams(
            # Layouts are set by hand; JAX 0.12 would infer them by default.
            lowering_semantics=plgpu.LoweringSemantics.Lane,
            unsafe_no_auto_barriers=True,
        ),
        kernel_name=f"carafe_{launch}",
        interpret=interpreter() if plan.interpret else None,
    )


def _plan(
    launch: Launch,
    geometry: Geometry,
    *,
    batch: int,
    channels: int,
    features_dtype: Any,
    kernels_dtype: Any,
    normalizer: Normalizer | None,
    config: TuningConfig | None,
    interpret: bool,
) -> Plan:
    call = Call(
        geometry=geometry,
        batch=batch,
        channels=channels,
        features_dtype=jnp.dtype(features_dtype),
        kernels_dtype=jnp.dtype(kernels_dtype),
        normalizer=normalizer,
    )
    return Plan(call, config or heuristic(call, launch), interpret)


@_compiled
def reassemble(
    features: Float[Array, "n h w c"],
    weights: Float[Array, "n ah aw phases_groups_taps"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n oh ow c"]:
    """Sum each window of the features, weighted by its kernel."""
    n, _, _, c = features.shape
    plan = _plan(
        "reassemble",
        geometry,
        batch=n,
        channels=c,
        features_dtype=features.dtype,
        kernels_dtype=weights.dtype,
        normalizer=normalizer,
        config=config,
        interpret=interpret,
    )
    oh, ow = geometry.rows.output_size, geometry.columns.output_size
    out = jax.ShapeDtypeStruct((n, oh, ow, c), jnp.dtype(dtype))
    launch = _launch(reassemble_kernel, plan, "reassemble", out, out_smem=dtype)
    return launch(_maps(features, plan, plan.patch), _flat_weights(weights, plan))


@_compiled
def grad_features(
    weights: Float[Array, "n ah aw phases_groups_taps"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n h w c"]:
    """Collect, for each source pixel, what the windows that cover it give back."""
    n, _, _, c = cotangent.shape
    plan = _plan(
        "grad_features",
        geometry,
        batch=n,
        channels=c,
        features_dtype=cotangent.dtype,
        kernels_dtype=weights.dtype,
        normalizer=normalizer,
        config=config,
        interpret=interpret,
    )
    h, w = geometry.rows.size, geometry.columns.size
    out = jax.ShapeDtypeStruct((n, h, w, c), jnp.dtype(dtype))
    launch = _launch(grad_features_kernel, plan, "grad_features", out, out_smem=dtype)
    return launch(_flat_weights(weights, plan), _maps(cotangent, plan, plan.readers))


@_compiled
def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    weights: Float[Array, "n ah aw phases_groups_taps"] | None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n ah aw phases_groups_taps"]:
    """Dot each cotangent with the window that it reads; back through the normalizer."""
    n, _, _, c = features.shape
    plan = _plan(
        "grad_kernels",
        geometry,
        batch=n,
        channels=c,
        features_dtype=features.dtype,
        kernels_dtype=dtype if weights is None else weights.dtype,
        normalizer=normalizer,
        config=config,
        interpret=interpret,
    )
    run, rows, columns = plan.own_weights, geometry.rows, geometry.columns
    width = plan.padded_anchors
    size = n * rows.anchors * width * run.anchor_stride
    out = jax.ShapeDtypeStruct((size,), jnp.dtype(dtype))
    if (values := plan.anchors * run.anchor_stride * out.dtype.itemsize) % WORD:
        raise ValueError(
            f"The weights of a block must fill units of {WORD} bytes, got {values} "
            f"bytes with {plan.config}."
        )
    launch = _launch(
        grad_kernels_kernel,
        plan,
        "grad_kernels",
        out,
        out_smem=dtype,
        cotangent_smem=cotangent.dtype,
    )
    operands = [
        _maps(features, plan, plan.patch),
        _maps(cotangent, plan, plan.output),
    ]
    if weights is not None:
        operands.append(_flat_weights(weights, plan))
    gradient = launch(*operands).reshape(n, rows.anchors, width, run.anchor_stride)
    return gradient[:, :, : columns.anchors]


def _maps(array: Array, plan: Plan, boxes: Any) -> Array:
    return widen(array, *boxes) if plan.interpret else array


def _flat_weights(weights: Array, plan: Plan) -> Array:
    """One long array; the copy engine needs no rows of whole 16 bytes then."""
    flat = weights.reshape(-1)
    return jnp.pad(flat, plan.weights_margin) if plan.interpret else flat
