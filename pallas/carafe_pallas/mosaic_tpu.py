"""Reassembly and its two gradients on TPUs, v4 and later (Pallas, Mosaic TPU).

All three launches are banded matrix products, see `_tpu_bands.py`. A block is a few
rows of anchors, all columns, and a block of channels: full rows of features, weights
and outputs, so that no block has a halo of columns. A halo of rows comes from
overlapping blocks of features that are moved inwards at the edges; what a window would
read outside the map has weight zero instead, so that no block leaves its array.

    reassemble     grid (N, blocks of rows, blocks of channels)
                   out (phases * strip, C) = band @ patch
    grad_kernels   grid (N, blocks of rows, blocks of channels), the last accumulates
                   band = cotangent (phases * strip, C) @ patch^T, lanes gathered back
    grad_features  grid (N, blocks of channels, blocks of rows + 1)
                   patch = band^T @ cotangent, added to rows in VMEM; a block of source
                   rows leaves one step after the anchors of the same rows came, in
                   the same step where it is all of a map: no step more then

Memory of a block: the rows of features, weights and outputs, twice (the pipeline), see
`_vmem_bytes`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas._tpu_bands import LANES, Bands, Tables, round_up, tables
from carafe_pallas._tpu_pixels import (
    first_group,
    interleave,
    load_cotangent,
    only_group,
    patch,
)
from carafe_pallas._tpu_plan import Plan, kept_rows
from carafe_pallas._tpu_plan import TuningConfig as TuningConfig
from carafe_pallas._tpu_weights import (
    Segments,
    band,
    by_range,
    load_logits,
    prepare_kernels,
    pull_back,
    reads,
    turn_lanes,
    unband,
)
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Axis, Geometry

KERNELS_BY_PIXEL = False

_DTYPES = ("float32", "bfloat16")
_VMEM_TARGET = 12 * 2**20  # Bytes that a heuristic block takes at most, if it can.
_VMEM_LIMIT = 48 * 2**20  # Bytes of a block; the VMEM of v5 and v6 is larger.


def refusal(call: Call) -> str | None:
    """Return why these kernels cannot run the call; None where they can."""
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    if (largest := _largest(call)) >= 2**31:
        return f"arrays must have less than 2**31 elements, got {largest}"
    for launch in ("reassemble", "grad_features", "grad_kernels"):
        need = _vmem_bytes(call, launch, heuristic(call, launch))
        if need > _VMEM_LIMIT:
            return (
                f"`W` and `C` must fit rows of {_VMEM_LIMIT} bytes into VMEM, got "
                f"{call.geometry.columns.size} and {call.channels}, which take {need}"
            )
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks by arithmetic alone; nothing here was measured."""
    rows, lines, least = call.geometry.rows, 1, 1
    most = 16
    if launch == "grad_features":
        least = _least(rows)
        # Sums of the same source rows are added once then.
        lines = 2 if rows.up < rows.down else 1
        # A block that is all of a map leaves in the step that it came in.
        most = round_up(rows.anchors, lines)

    def cost(count: int) -> float:
        # Rows that are computed; a block costs about a third of a row by itself, one
        # that leaves a step late another for each row. The first of all blocks is
        # waited for.
        blocks = -(-rows.anchors // count)
        late = count / 3 if launch == "grad_features" and blocks > 1 else 0
        return count + call.batch * (blocks * (count + 0.3) + late)

    def pixels(strip: int) -> int:
        bands = Bands(call.geometry, strip, launch != "grad_features")
        return bands.strips * bands.pixels

    least = round_up(least, lines)
    counts = sorted(range(least, max(most, least) + 1, lines), key=cost)
    strip = min(16, 32, key=pixels)
    configs = [
        TuningConfig(count, strip, channels, lines)
        for channels in _channel_blocks(call)
        for count in counts
    ]
    fitting = (c for c in configs if _vmem_bytes(call, launch, c) <= _VMEM_TARGET)
    smallest = min(configs, key=functools.partial(_vmem_bytes, call, launch))
    return next(fitting, smallest)


def _least(rows: Axis) -> int:
    """Rows of anchors of a block whose sums the next block completes."""
    return max(-(-rows.radius // rows.down), 1)


def _bands(geometry: Geometry, launch: Launch, config: TuningConfig) -> Bands:
    return Bands(geometry, config.strip, launch != "grad_features", config.lines)


def _largest(call: Call) -> int:
    """Elements of the largest array."""
    rows, columns = call.geometry.rows, call.geometry.columns
    taps = rows.up**2 * call.geometry.groups * call.geometry.kernel_size**2
    pixels = max(rows.size * columns.size, rows.output_size * columns.output_size)
    weights = rows.anchors * columns.anchors * taps
    return call.batch * max(call.channels * pixels, weights)


def _channel_blocks(call: Call) -> list[int]:
    """Channels of a block, the widest first."""
    own = call.channels // call.geometry.groups
    if own % LANES:
        return [call.channels]
    return [b for b in range(min(own, 512), 0, -LANES) if own % b == 0]


def _vmem_bytes(call: Call, launch: Launch, config: TuningConfig) -> int:
    bands = _bands(call.geometry, launch, config)
    rows, columns = call.geometry.rows, call.geometry.columns
    channels = round_up(config.channels, LANES)
    pixel = channels * call.features_dtype.itemsize
    source = round_up(columns.size, 16) * pixel
    out = config.rows * bands.up**2 * bands.anchors * pixel
    weights = config.rows * bands.anchors * bands.lanes * call.kernels_dtype.itemsize
    kernels = config.rows * bands.anchors * bands.lanes * 4
    spread = 4 * bands.lines * bands.phases * bands.strip * bands.pixels * 4
    match launch:
        case "reassemble":
            span = min(rows.span(config.rows), rows.size)
            return 2 * (span * source + out + weights + spread) + kernels
        case "grad_features":
            kept = kept_rows(rows, config.rows) * bands.span
            sums = kernels + kept * channels * 4
            own = config.rows * bands.down * source
            return 2 * (own + out + weights + spread) + sums
        case "grad_kernels":
            span = min(rows.span(config.rows), rows.size)
            return 2 * (span * source + out + 2 * weights + spread) + kernels


def _by_strip(plan: Plan, run: Callable[[Any, int], None]) -> None:
    """Run for each row of a block and each strip of it."""

    def run_row(row: Any) -> None:
        for strip in range(plan.bands.strips):
            run(row, strip)

    plan.each_row(run_row)


def _strip_of(plan: Plan, strip: int) -> slice:
    return slice(strip * plan.config.strip, (strip + 1) * plan.config.strip)


def _each_group(
    plan: Plan, axis: int, run: Callable[[Any], Any], join: Callable[..., Any]
) -> Any:
    """Run for the groups of this block of channels and join the results."""
    result = run(first_group(plan, axis))
    if plan.own_groups == 1:
        return result
    return lax.fori_loop(
        1,
        plan.own_groups,
        lambda group, result: join(result, run(group), group),
        result,
    )


def _reassemble_kernel(
    rows_ref: Any,
    spread_ref: Any,
    alike_ref: Any,
    features_ref: Any,
    weights_ref: Any,
    out_ref: Any,
    kernels_ref: Any,
    *,
    plan: Plan,
) -> None:
    block = pl.program_id(1)
    up, width = plan.bands.up, plan.config.strip

    @pl.when(pl.program_id(2) == 0)
    def _prepare() -> None:
        prepare_kernels(
            plan, weights_ref, rows_ref, alike_ref, kernels_ref, block=block
        )

    def run_strip(row: Any, strip: int) -> None:
        anchor = block * plan.config.rows + row
        kernels = kernels_ref[row, _strip_of(plan, strip), :]
        pixels = patch(plan, features_ref, anchor=anchor, block=block, strip=strip)

        def run_group(group: Any) -> Any:
            own = turn_lanes(plan, kernels, group, back=False)
            return plan.dot(band(plan, [own], spread_ref, strip=strip), pixels, (1, 0))

        out = _each_group(
            plan,
            2,
            run_group,
            lambda out, own, group: only_group(plan, own, group, out),
        )
        phases = [out[p * width : (p + 1) * width] for p in range(up**2)]
        columns = slice(strip * width * up, (strip + 1) * width * up)
        for py in range(up):
            line = interleave(plan, phases[py * up : (py + 1) * up], out_ref.dtype)
            out_ref[0, row * up + py, columns, :] = line

    _by_strip(plan, run_strip)


def _add_top(x: Any, top: Any) -> Any:
    if top is None:
        return x
    size = top.shape[0]
    return jnp.concatenate([x[:size] + top, x[size:]]) if size < x.shape[0] else x + top


def _add_rows(
    sums_ref: Any, rows: list[Any], columns: slice, parts: list[Any], *, old: int
) -> None:
    """Add parts to the first `old` rows; the others have nothing yet."""
    # All loads come first: the compiler cannot know that the rows differ.
    sums = [sums_ref[row, columns, :] for row in rows[:old]]
    parts = [*map(jnp.add, sums, parts), *parts[old:]]
    for row, part in zip(rows, parts, strict=True):
        sums_ref[row, columns, :] = part


def _grad_features_kernel(
    rows_ref: Any,
    spread_ref: Any,
    alike_ref: Any,
    weights_ref: Any,
    cotangent_ref: Any,
    out_ref: Any,
    kernels_ref: Any,
    sums_ref: Any,
    *,
    plan: Plan,
) -> None:
    step, bands = pl.program_id(2), plan.bands
    radius, reach = plan.geometry.rows.radius, bands.reach
    # Rows of a product that products before it have added to, and its own rows that
    # only products after it may read, or none.
    own_rows = bands.lines * bands.down
    old, unread = max(reach - own_rows, 0), max(own_rows - (reach - radius), 0)
    own, block_rows = plan.config.strip * bands.down, plan.config.rows * bands.down

    def strip_pixels(first: Any, strip: int) -> Any:
        rows = [first + line for line in range(bands.lines)]
        kernels = [kernels_ref[row, _strip_of(plan, strip), :] for row in rows]
        load = functools.partial(load_cotangent, plan, cotangent_ref, strip=strip)
        anchor = step * plan.config.rows
        cotangent = jnp.concatenate([load(row=r, anchor=anchor + r) for r in rows])

        def run_group(group: Any) -> Any:
            own = [turn_lanes(plan, line, group, back=False) for line in kernels]
            mine = cotangent
            if plan.own_groups > 1:
                mine = only_group(plan, cotangent, group, jnp.zeros_like(cotangent))
            return plan.dot(band(plan, own, spread_ref, strip=strip), mine, (0, 0))

        return _each_group(plan, 1, run_group, lambda a, b, _: a + b)

    def add_strip(row: Any, strip: int, pixels: Any, tails: list[Any]) -> list[Any]:
        """Add what no later strip adds to; return the rest of each row."""
        to = [plan.kept_row(step, row * bands.down + i - radius) for i in range(reach)]
        parts = [
            pixels[i * bands.columns : (i + 1) * bands.columns] for i in range(reach)
        ]
        heads = [
            _add_top(part[:own], tail) for part, tail in zip(parts, tails, strict=True)
        ]
        add = functools.partial(_add_rows, sums_ref, to, old=old)
        add(slice(strip * own, (strip + 1) * own), heads)
        if bands.columns == own:
            return tails
        tails = [part[own:] for part in parts]
        if strip + 1 == bands.strips:
            end = (strip + 1) * own
            add(slice(end, end + bands.columns - own), tails)
        return tails

    def run_lines(i: Any) -> None:
        row = i * bands.lines
        # Each product starts before the sums that the last one waits for.
        pixels, tails = strip_pixels(row, 0), [None] * reach
        for strip in range(bands.strips):
            last = pixels
            if strip + 1 < bands.strips:
                pixels = strip_pixels(row, strip + 1)
            tails = add_strip(row, strip, last, tails)
        for i in range(unread):
            clear(row * bands.down + reach - radius + i)

    def clear(row: Any) -> None:
        kept = plan.kept_row(step, row)
        sums_ref[kept] = jnp.zeros_like(sums_ref[kept])

    @pl.when(step == 0)
    def _start() -> None:
        for row in range(old):
            clear(row - radius)

    @pl.when(step < plan.blocks)
    def _add() -> None:
        prepare_kernels(plan, weights_ref, rows_ref, alike_ref, kernels_ref, block=step)
        at_once = max(1, 8 // (bands.strips * bands.lines))
        plan.repeat(plan.config.rows // bands.lines, run_lines, at_once=at_once)

    def emit(row: Any) -> None:
        kept = plan.kept_row(step, row - plan.late * block_rows)
        sums = sums_ref[kept, radius : radius + plan.geometry.columns.size, :]
        out_ref[0, row] = sums.astype(out_ref.dtype)

    @pl.when(step >= plan.late)
    def _emit() -> None:
        plan.repeat(block_rows, emit, at_once=4)


def _grad_kernels_kernel(
    rows_ref: Any,
    collect_ref: Any,
    alike_ref: Any,
    features_ref: Any,
    cotangent_ref: Any,
    *refs: Any,
    plan: Plan,
) -> None:
    *logits_ref, out_ref, sums_ref = refs
    block = pl.program_id(1)

    def run_strip(row: Any, strip: int) -> None:
        anchor = block * plan.config.rows + row
        pixels = patch(plan, features_ref, anchor=anchor, block=block, strip=strip)
        cotangent = load_cotangent(
            plan, cotangent_ref, row=row, anchor=anchor, strip=strip
        )

        def run_group(group: Any) -> Any:
            mine = cotangent
            if plan.own_groups > 1:
                mine = only_group(plan, cotangent, group, jnp.zeros_like(cotangent))
            products = plan.dot(mine, pixels, (1, 1))
            taps = unband(plan, products, collect_ref, strip=strip)
            return turn_lanes(plan, taps, group, back=True)

        taps = _each_group(plan, 2, run_group, lambda a, b, _: a + b)
        sums_ref[row, _strip_of(plan, strip), :] += taps

    def finish(segments: Segments) -> None:
        def finish_row(row: Any) -> None:
            anchor = block * plan.config.rows + row
            gradient = jnp.where(reads(plan, rows_ref, anchor), sums_ref[row], 0)
            if plan.normalizer is not None:
                logits = load_logits(
                    plan, logits_ref[0], rows_ref, segments, row, anchor
                )
                gradient = pull_back(gradient, logits, segments)
            out_ref[0, row] = gradient.astype(out_ref.dtype)

        plan.each_row(finish_row)

    @pl.when(pl.program_id(2) == 0)
    def _start() -> None:
        sums_ref[...] = jnp.zeros_like(sums_ref)

    _by_strip(plan, run_strip)

    @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
    def _finish() -> None:
        weights_ref = logits_ref[0] if logits_ref else None
        by_range(plan, weights_ref, rows_ref, alike_ref, block=block, run=finish)


def _plan(
    call: Call, launch: Launch, config: TuningConfig | None, *, interpret: bool
) -> tuple[Plan, Tables]:
    config = heuristic(call, launch) if config is None else config
    if config.rows % config.lines:
        raise ValueError(
            f"`config.lines` must divide `config.rows`, got {config.lines} and "
            f"{config.rows}."
        )
    if config.lines > 1 and launch != "grad_features":
        raise ValueError(
            f"`config.lines` must be 1 for {launch!r}, got {config.lines}."
        )
    rows = call.geometry.rows
    if launch == "grad_features" and config.rows < min(_least(rows), rows.anchors):
        raise ValueError(
            f"`config.rows` must be at least {_least(rows)} for {launch!r} with "
            f"`kernel_size={rows.kernel_size}`, got {config.rows}."
        )
    bands = _bands(call.geometry, launch, config)
    lookup = tables(bands)
    plan = Plan(
        bands=bands,
        kinds=lookup.kinds,
        config=config,
        channels=call.channels,
        normalizer=call.normalizer,
        product_dtype=_common(call.features_dtype, call.kernels_dtype),
        kernels_dtype=call.kernels_dtype,
        interpret=interpret,
    )
    return plan, lookup


def _common(dtype: jnp.dtype, other: jnp.dtype) -> jnp.dtype:
    """Return the dtype of products of the two, which have at most 32 bits."""
    # `jnp.promote_types` refuses to mix dtypes where JAX's setting is strict.
    return dtype if dtype == other else jnp.dtype(jnp.float32)


def _whole(table: Any) -> pl.BlockSpec:
    return pl.BlockSpec(table.shape, lambda *_: (0,) * table.ndim)


def _parameters(plan: Plan, call: Call, launch: Launch) -> dict[str, Any]:
    need = _vmem_bytes(call, launch, plan.config)
    return {
        "name": f"carafe_{launch}",
        "interpret": pltpu.InterpretParams() if plan.interpret else False,
        "compiler_params": pltpu.CompilerParams(
            # The last axis goes in order: it keeps kernels or sums between steps.
            dimension_semantics=("parallel", "parallel", "arbitrary"),
            # Room for what the compiler spills.
            vmem_limit_bytes=max(16 * 2**20, need + 4 * 2**20),
        ),
    }


def _features_spec(plan: Plan) -> pl.BlockSpec:
    sizes = (1, plan.source_rows, plan.geometry.columns.size, plan.config.channels)

    def index(n: Any, block: Any, c: Any) -> tuple[Any, ...]:
        # A product of 0 would do, were it not for proofs of alignment.
        first = 0 if plan.config.channels == plan.channels else c * plan.config.channels
        return n, plan.first_source_row(block), 0, first

    return pl.BlockSpec(tuple(pl.Element(size) for size in sizes), index)


def _kernels_shape(plan: Plan) -> tuple[int, ...]:
    return 1, plan.config.rows, plan.bands.anchors, plan.bands.lanes


def _kernels_scratch(plan: Plan) -> Any:
    return pltpu.VMEM(_kernels_shape(plan)[1:], jnp.float32)


def _pixels_shape(plan: Plan) -> tuple[int, ...]:
    up = plan.bands.up
    return 1, plan.config.rows * up, plan.bands.anchors * up, plan.config.channels


def reassemble(
    features: Float[Array, "n h w c"],
    weights: Float[Array, "n ah aw taps"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n oh ow c"]:
    """Sum the windows of every output pixel, weighted by its kernel."""
    n, *_, channels = features.shape
    call = Call(geometry, n, channels, features.dtype, weights.dtype, normalizer)
    plan, lookup = _plan(call, "reassemble", config, interpret=interpret)
    rows, columns = geometry.rows, geometry.columns
    return pl.pallas_call(
        functools.partial(_reassemble_kernel, plan=plan),
        grid=(n, plan.blocks, channels // plan.config.channels),
        in_specs=[
            _whole(lookup.rows),
            _whole(lookup.spread),
            _whole(lookup.alike),
            _features_spec(plan),
            pl.BlockSpec(_kernels_shape(plan), lambda n, s, c: (n, s, 0, 0)),
        ],
        out_specs=pl.BlockSpec(_pixels_shape(plan), lambda n, s, c: (n, s, 0, c)),
        out_shape=jax.ShapeDtypeStruct(
            (n, rows.output_size, columns.output_size, channels), dtype
        ),
        scratch_shapes=[_kernels_scratch(plan)],
        **_parameters(plan, call, "reassemble"),
    )(lookup.rows, lookup.spread, lookup.alike, features, weights)


def grad_features(
    weights: Float[Array, "n ah aw taps"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n h w c"]:
    """Return the gradient of the features."""
    n, *_, channels = cotangent.shape
    call = Call(geometry, n, channels, cotangent.dtype, weights.dtype, normalizer)
    plan, lookup = _plan(call, "grad_features", config, interpret=interpret)
    rows, columns, blocks = geometry.rows, geometry.columns, plan.blocks
    block_rows = plan.config.rows * rows.down
    # A step that only writes keeps the blocks that it has.
    return pl.pallas_call(
        functools.partial(_grad_features_kernel, plan=plan),
        grid=(n, channels // plan.config.channels, blocks + plan.late),
        in_specs=[
            _whole(lookup.rows),
            _whole(lookup.spread),
            _whole(lookup.alike),
            pl.BlockSpec(
                _kernels_shape(plan),
                lambda n, c, s: (n, jnp.minimum(s, blocks - 1), 0, 0),
            ),
            pl.BlockSpec(
                _pixels_shape(plan),
                lambda n, c, s: (n, jnp.minimum(s, blocks - 1), 0, c),
            ),
        ],
        out_specs=pl.BlockSpec(
            (1, block_rows, columns.size, plan.config.channels),
            lambda n, c, s: (n, jnp.maximum(s - plan.late, 0), 0, c),
        ),
        out_shape=jax.ShapeDtypeStruct((n, rows.size, columns.size, channels), dtype),
        scratch_shapes=[
            _kernels_scratch(plan),
            pltpu.VMEM(
                (plan.kept_rows, plan.bands.span, plan.config.channels), jnp.float32
            ),
        ],
        **_parameters(plan, call, "grad_features"),
    )(lookup.rows, lookup.spread, lookup.alike, weights, cotangent)


def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    weights: Float[Array, "n ah aw taps"] | None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n ah aw taps"]:
    """Return the gradient of the weights, of the logits where there is a normalizer."""
    n, *_, channels = features.shape
    wide = _common(features.dtype, cotangent.dtype)
    own = jnp.dtype(dtype) if weights is None else weights.dtype
    call = Call(geometry, n, channels, wide, own, normalizer)
    plan, lookup = _plan(call, "grad_kernels", config, interpret=interpret)
    plan = dataclasses.replace(plan, product_dtype=wide)
    rows, columns = geometry.rows, geometry.columns
    weights_spec = pl.BlockSpec(_kernels_shape(plan), lambda n, s, c: (n, s, 0, 0))
    logits = [] if weights is None else [weights]
    return pl.pallas_call(
        functools.partial(_grad_kernels_kernel, plan=plan),
        grid=(n, plan.blocks, channels // plan.config.channels),
        in_specs=[
            _whole(lookup.rows),
            _whole(lookup.collect),
            _whole(lookup.alike),
            _features_spec(plan),
            pl.BlockSpec(_pixels_shape(plan), lambda n, s, c: (n, s, 0, c)),
            *(weights_spec for _ in logits),
        ],
        out_specs=weights_spec,
        out_shape=jax.ShapeDtypeStruct(
            (n, rows.anchors, columns.anchors, plan.bands.channels), dtype
        ),
        scratch_shapes=[_kernels_scratch(plan)],
        **_parameters(plan, call, "grad_kernels"),
    )(lookup.rows, lookup.collect, lookup.alike, features, cotangent, *logits)
