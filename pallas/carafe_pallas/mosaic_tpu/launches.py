"""Reassembly and its two gradients on TPUs, v4 and later (Pallas, Mosaic TPU).

All three launches are banded matrix products, see `bands.py`. A block is a few rows of
anchors with all their columns, so that there is no halo of columns, and a block of
channels. The halo of rows comes from overlapping blocks of features. Blocks are shifted
inwards at the edges of the map, so that none exceeds it; taps outside the map have
weight zero.

    reassemble     grid (N, blocks of rows, blocks of channels)
                   out (phases * strip, C) = band @ patch
    grad_kernels   grid (N, blocks of rows, blocks of channels)
                   band = cotangent (phases * strip, C) @ patch^T, summed over the
                   blocks of channels, and its taps gathered
    grad_features  grid (N, blocks of channels, blocks of rows + 1)
                   patch = band^T @ cotangent, added to rows of sums in VMEM; the next
                   block of anchors adds to the last rows of a block, so this is written
                   a step later. A single block is written at once, without the extra
                   step.

VMEM of a block (`vmem_bytes`): its rows of features, kernels and output, twice for the
pipeline, and float32 scratch for the kernels or their sums, and for rows of sums.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry
from carafe_pallas.mosaic_tpu.grad_features_body import grad_features_body
from carafe_pallas.mosaic_tpu.grad_kernels_body import grad_kernels_body
from carafe_pallas.mosaic_tpu.heuristics import heuristic, vmem_bytes
from carafe_pallas.mosaic_tpu.plan import Plan, TuningConfig, common_dtype, plan_of
from carafe_pallas.mosaic_tpu.reassemble_body import reassemble_body
from carafe_pallas.mosaic_tpu.tables import Tables


def reassemble(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n ah aw taps"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n oh ow c"]:
    """Return the sum of each window of the features, weighted by its kernel."""
    call = Call.of(features, kernels.dtype, geometry=geometry, normalizer=normalizer)
    plan, lookup = _plan(call, "reassemble", config, interpret=interpret)
    tables = (lookup.rows, lookup.spread, lookup.same_segment)
    return pl.pallas_call(
        functools.partial(reassemble_body, plan=plan),
        grid=(call.batch, plan.blocks, plan.channel_blocks),
        in_specs=[
            *map(_whole, tables),
            _features_spec(plan),
            pl.BlockSpec(_kernels_shape(plan), lambda n, s, c: (n, s, 0, 0)),
        ],
        out_specs=pl.BlockSpec(_pixels_shape(plan), lambda n, s, c: (n, s, 0, c)),
        out_shape=jax.ShapeDtypeStruct(call.output_shape, dtype),
        scratch_shapes=[_kernels_scratch(plan)],
        **_parameters(plan, call, "reassemble"),
    )(*tables, features, kernels)


def grad_features(
    kernels: Float[Array, "n ah aw taps"],
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
    plan, lookup = _plan(call, "grad_features", config, interpret=interpret)
    tables = (lookup.rows, lookup.spread, lookup.same_segment)
    blocks, channels = plan.blocks, plan.config.channels
    block_rows, width = plan.config.rows * plan.bands.down, geometry.columns.size

    # The extra step has no anchors: with the index of the step before, the pipeline
    # copies nothing for it.
    def anchors(n: Any, c: Any, s: Any) -> tuple[Any, ...]:
        return n, jnp.minimum(s, blocks - 1), 0, 0

    def outputs(n: Any, c: Any, s: Any) -> tuple[Any, ...]:
        return n, jnp.minimum(s, blocks - 1), 0, c

    return pl.pallas_call(
        functools.partial(grad_features_body, plan=plan),
        grid=(call.batch, plan.channel_blocks, blocks + plan.delay),
        in_specs=[
            *map(_whole, tables),
            pl.BlockSpec(_kernels_shape(plan), anchors),
            pl.BlockSpec(_pixels_shape(plan), outputs),
        ],
        out_specs=pl.BlockSpec(
            (1, block_rows, width, channels),
            lambda n, c, s: (n, jnp.maximum(s - plan.delay, 0), 0, c),
        ),
        out_shape=jax.ShapeDtypeStruct(call.features_shape, dtype),
        scratch_shapes=[
            _kernels_scratch(plan),
            pltpu.VMEM((plan.ring_rows, plan.bands.span, channels), jnp.float32),
        ],
        **_parameters(plan, call, "grad_features"),
    )(*tables, kernels, cotangent)


def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    logits: Float[Array, "n ah aw taps"] | None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n ah aw taps"]:
    """Return the gradient of the kernels, or of the logits if there is a normalizer."""
    kernels_dtype = dtype if logits is None else logits.dtype
    call = Call.of(features, kernels_dtype, geometry=geometry, normalizer=normalizer)
    # The factors of the products are the features and the cotangent, not the kernels.
    wide = common_dtype(features.dtype, cotangent.dtype)
    call = dataclasses.replace(call, features_dtype=wide)
    plan, lookup = _plan(call, "grad_kernels", config, interpret=interpret)
    plan = dataclasses.replace(plan, product_dtype=wide)
    tables = (lookup.rows, lookup.collect, lookup.same_segment)
    kernels_spec = pl.BlockSpec(_kernels_shape(plan), lambda n, s, c: (n, s, 0, 0))
    given = [] if logits is None else [logits]
    return pl.pallas_call(
        functools.partial(grad_kernels_body, plan=plan),
        grid=(call.batch, plan.blocks, plan.channel_blocks),
        in_specs=[
            *map(_whole, tables),
            _features_spec(plan),
            pl.BlockSpec(_pixels_shape(plan), lambda n, s, c: (n, s, 0, c)),
            *(kernels_spec for _ in given),
        ],
        out_specs=kernels_spec,
        out_shape=jax.ShapeDtypeStruct(call.anchor_kernels_shape, dtype),
        scratch_shapes=[_kernels_scratch(plan)],
        **_parameters(plan, call, "grad_kernels"),
    )(*tables, features, cotangent, *given)


def _plan(
    call: Call, launch: Launch, config: TuningConfig | None, *, interpret: bool
) -> tuple[Plan, Tables]:
    config = config or heuristic(call, launch)
    return plan_of(call, launch, config, interpret=interpret)


def _parameters(plan: Plan, call: Call, launch: Launch) -> dict[str, Any]:
    need = vmem_bytes(call, launch, plan.config)
    return {
        "name": f"carafe_{launch}",
        "interpret": pltpu.InterpretParams() if plan.interpret else False,
        "compiler_params": pltpu.CompilerParams(
            # The last axis is sequential: kernels or sums in VMEM outlive a step.
            dimension_semantics=("parallel", "parallel", "arbitrary"),
            # 4 MiB more than the blocks need, for what the compiler spills.
            vmem_limit_bytes=max(16 * 2**20, need + 4 * 2**20),
        ),
    }


def _whole(table: Any) -> pl.BlockSpec:
    return pl.BlockSpec(table.shape, lambda *_: (0,) * table.ndim)


def _features_spec(plan: Plan) -> pl.BlockSpec:
    sizes = (1, plan.source_rows, plan.geometry.columns.size, plan.config.channels)

    def index(n: Any, block: Any, c: Any) -> tuple[Any, ...]:
        # `c` is 0 then, but the compiler cannot prove that `c * channels` is aligned.
        first = 0 if plan.channel_blocks == 1 else c * plan.config.channels
        return n, plan.first_source_row(block), 0, first

    return pl.BlockSpec(tuple(pl.Element(size) for size in sizes), index)


def _kernels_shape(plan: Plan) -> tuple[int, ...]:
    return 1, plan.config.rows, plan.bands.anchors, plan.bands.lanes


def _kernels_scratch(plan: Plan) -> Any:
    return pltpu.VMEM(_kernels_shape(plan)[1:], jnp.float32)


def _pixels_shape(plan: Plan) -> tuple[int, ...]:
    up = plan.bands.up
    return 1, plan.config.rows * up, plan.bands.anchors * up, plan.config.channels
