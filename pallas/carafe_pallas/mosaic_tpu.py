"""Reassembly and its two gradients on TPUs, v4 and later (Pallas, Mosaic TPU).

All three launches are banded matrix products, see `_tpu_bands.py`. A block is a few
rows of anchors, all columns, and a block of channels: full rows of features, weights
and outputs, so that no block has a halo of columns. A halo of rows comes from
overlapping blocks of features that are moved inwards at the edges; what a window would
read outside the map has weight zero instead, so that no block leaves its array.

    reassemble     grid (N, blocks of rows, blocks of channels)
                   out (phases * strip, C) = band @ patch
    grad_weights   grid (N, blocks of rows, blocks of channels), the last accumulates
                   band = cotangent (phases * strip, C) @ patch^T, lanes gathered back
    grad_features  grid (N, blocks of channels, blocks of rows + 1)
                   patch = band^T @ cotangent, added to rows in VMEM; a block of source
                   rows leaves one step after the anchors of the same rows came

Memory of a block: the rows of features, weights and outputs, twice (the pipeline), see
`_vmem_bytes`.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas._tpu_bands import LANES, MISSING, Bands, Tables, round_up, tables
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry

_DTYPES = ("float32", "bfloat16")
_VMEM_TARGET = 12 * 2**20  # Bytes that a heuristic block takes at most, if it can.
_VMEM_LIMIT = 64 * 2**20  # Bytes of a block; smaller than the VMEM of v5 and v6.


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Sizes of a block.

    Attributes:
      rows: Rows of anchors.
      strip: Neighbouring anchors of one product, a multiple of 16.
      channels: Channels; all of them, or a multiple of 128 that divides a group.
    """

    rows: int
    strip: int
    channels: int


def refusal(call: Call) -> str | None:
    """Say why these kernels cannot run the call; None where they can."""
    for name in ("features_dtype", "weights_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}."
    for launch in ("reassemble", "grad_features", "grad_weights"):
        need = _vmem_bytes(call, launch, heuristic(call, launch))
        if need > _VMEM_LIMIT:
            return (
                f"`W` and `C` must fit rows of {_VMEM_LIMIT} bytes into VMEM, got "
                f"{call.geometry.columns.size} and {call.channels}, which take {need}."
            )
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks by arithmetic alone; nothing here was measured."""
    strip = 16
    widths = _channel_blocks(call)
    configs = [
        TuningConfig(rows, strip, channels)
        for channels in widths
        for rows in (8, 4, 2, 1)
        if rows <= max(1, call.geometry.rows.anchors)
        or rows // 2 < call.geometry.rows.anchors
    ]
    if launch == "grad_features":
        rows = call.geometry.rows
        least = -(-rows.radius // rows.down)
        configs = [
            dataclasses.replace(config, rows=max(config.rows, least))
            for config in configs
        ]
    fitting = (c for c in configs if _vmem_bytes(call, launch, c) <= _VMEM_TARGET)
    return next(fitting, configs[-1])


def _channel_blocks(call: Call) -> list[int]:
    """Channels of a block, the widest first."""
    own = call.channels // call.geometry.groups
    if own % LANES:
        return [call.channels]
    return [b for b in range(min(own, 512), 0, -LANES) if own % b == 0]


def _vmem_bytes(call: Call, launch: Launch, config: TuningConfig) -> int:
    bands = Bands(call.geometry, config.strip)
    rows, columns = call.geometry.rows, call.geometry.columns
    channels = round_up(config.channels, LANES)
    pixel = channels * call.features_dtype.itemsize
    source = round_up(columns.size, 16) * pixel
    out = config.rows * bands.up**2 * bands.anchors * pixel
    weights = config.rows * bands.anchors * bands.lanes * call.weights_dtype.itemsize
    spread = 4 * bands.phases * bands.strip * bands.pixels * 4
    match launch:
        case "reassemble":
            span = min(rows.span(config.rows), rows.size)
            return 2 * (span * source + out + weights + spread)
        case "grad_features":
            kept = _kept_rows(bands, config.rows)
            sums = kept * round_up(columns.size, 8) * channels * 4
            own = config.rows * bands.down * source
            return 2 * (own + out + weights + spread) + sums
        case "grad_weights":
            span = min(rows.span(config.rows), rows.size)
            sums = config.rows * bands.anchors * bands.lanes * 4
            return 2 * (span * source + out + 2 * weights + spread) + sums


def _kept_rows(bands: Bands, rows: int) -> int:
    """Rows of sums that the gradient of the features keeps."""
    last = (rows - 1) * bands.down + bands.reach - bands.geometry.rows.radius
    return rows * bands.down + last


@dataclasses.dataclass(frozen=True)
class _Plan:
    """All that is static in a kernel."""

    bands: Bands
    kinds: tuple[int, ...]
    config: TuningConfig
    channels: int
    normalizer: Normalizer | None
    product_dtype: Any
    weights_dtype: Any
    interpret: bool

    @property
    def geometry(self) -> Geometry:
        return self.bands.geometry

    @property
    def own_groups(self) -> int:
        """Groups that a block of channels holds."""
        own = self.channels // self.geometry.groups
        return 1 if own % self.config.channels == 0 else self.geometry.groups

    @property
    def source_rows(self) -> int:
        rows = self.geometry.rows
        return min(rows.span(self.config.rows), rows.size)

    def first_source_row(self, block: Any) -> Any:
        """First source row of a block of features, moved inwards at the edges."""
        rows = self.geometry.rows
        first = block * (self.config.rows * rows.down) - rows.radius
        return jnp.clip(first, 0, rows.size - self.source_rows)

    def dot(self, a: Any, b: Any, contracted: tuple[int, int]) -> Any:
        """Multiply with float32 sums; float32 factors stay float32."""
        exact = self.product_dtype == jnp.float32
        return lax.dot_general(
            a.astype(self.product_dtype),
            b.astype(self.product_dtype),
            (((contracted[0],), (contracted[1],)), ((), ())),
            precision=lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT,
            preferred_element_type=jnp.float32,
        )


def _segment_reduce(x: Any, segment: Any, segments: int, *, maximum: bool) -> Any:
    """Reduce each run of lanes and give the result to all its lanes."""

    def reduce(s: Any, result: Any) -> Any:
        mine = segment == s
        if maximum:
            one = jnp.max(jnp.where(mine, x, -jnp.inf), axis=-1, keepdims=True)
        else:
            one = jnp.sum(jnp.where(mine, x, 0), axis=-1, keepdims=True)
        return jnp.where(mine, one, result)

    result = jnp.zeros_like(x)
    if segments > 16:
        return lax.fori_loop(0, segments, reduce, result)
    for s in range(segments):
        result = reduce(s, result)
    return result


def _log_sigmoid(x: Any) -> Any:
    return jnp.minimum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


def _sigmoid(x: Any) -> Any:
    power = jnp.exp(-jnp.abs(x))
    return jnp.where(x >= 0, 1.0, power) / (1 + power)


def _normalize(plan: _Plan, logits: Any, segment: Any) -> Any:
    """Normalise over the taps of each phase and group, in float32."""
    if plan.normalizer == "sigmoid":
        return _sigmoid(logits)
    if plan.normalizer == "normalized_sigmoid":
        logits = _log_sigmoid(logits)
    segments = plan.bands.channels // plan.bands.taps
    highest = _segment_reduce(logits, segment, segments, maximum=True)
    powers = jnp.exp(logits - highest)
    return powers / _segment_reduce(powers, segment, segments, maximum=False)


def _pull_back(plan: _Plan, gradient: Any, logits: Any, segment: Any) -> Any:
    """Turn a gradient of the normalised kernels into one of the logits."""
    kernels = _normalize(plan, logits, segment)
    if plan.normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    segments = plan.bands.channels // plan.bands.taps
    inner = _segment_reduce(kernels * gradient, segment, segments, maximum=False)
    gradient = kernels * (gradient - inner)
    if plan.normalizer == "normalized_sigmoid":
        gradient = gradient * _sigmoid(-logits)
    return gradient


def _anchors_of(plan: _Plan, strip: int) -> slice:
    return slice(strip * plan.config.strip, (strip + 1) * plan.config.strip)


def _row_masks(plan: _Plan, rows_ref: Any, anchor: Any) -> tuple[Any, Any]:
    """Return which taps of a row of anchors exist, and which read the map."""
    rows = plan.geometry.rows
    y = rows_ref[0:1] + anchor * rows.down
    exists = rows_ref[1:2] + anchor * rows.up < rows.output_size
    return exists, exists & (y >= 0) & (y < rows.size)


def _load_kernels(
    plan: _Plan, weights_ref: Any, rows_ref: Any, *, row: Any, anchor: Any, strip: int
) -> Any:
    """Return the normalised weights of a strip; zero where they read above or below."""
    kernels = weights_ref[0, row, _anchors_of(plan, strip), :].astype(jnp.float32)
    if plan.normalizer is not None:
        kernels = _normalize(plan, kernels, rows_ref[2:3])
        # Rounded as kernels that were normalised outside would be.
        kernels = kernels.astype(plan.weights_dtype).astype(jnp.float32)
    _, reads = _row_masks(plan, rows_ref, anchor)
    return jnp.where(reads, kernels, 0)


def _gather(x: Any, index: Any) -> Any:
    return jnp.take_along_axis(x, index, axis=1, mode="promise_in_bounds")


def _turn_lanes(plan: _Plan, x: Any, group: Any, *, back: bool) -> Any:
    """Move the lanes of a group to those of the first group, or back."""
    if plan.geometry.groups == 1:
        return x
    shift = group * plan.bands.taps
    return pltpu.roll(x, shift if back else plan.bands.lanes - shift, 1)


def _band(plan: _Plan, kernels: Any, spread_ref: Any, *, strip: int) -> Any:
    """Lay the taps of group 0 over the pixels: (phases * strip, pixels)."""
    kind = plan.kinds[strip]
    phases = []
    for phase in range(plan.bands.phases):
        chunks = []
        for first in range(0, plan.bands.pixels, LANES):
            index = spread_ref[kind, phase, :, first : first + LANES]
            chunk = jnp.zeros(index.shape, jnp.float32)
            for tile in plan.bands.tap_tiles(phase):
                source = kernels[:, tile * LANES : (tile + 1) * LANES]
                # Arithmetic shift: OUTSIDE belongs to no tile.
                here = index >> 7 == tile
                chunk = jnp.where(here, _gather(source, index & 127), chunk)
            chunks.append(chunk)
        phases.append(jnp.concatenate(chunks, axis=1))
    return jnp.concatenate(phases).astype(plan.product_dtype)


def _unband(plan: _Plan, band: Any, collect_ref: Any, *, strip: int) -> Any:
    """Collect the taps of group 0 from a band: (strip, lanes)."""
    kind, bands = plan.kinds[strip], plan.bands
    tiles = []
    for tile in range(bands.lanes // LANES):
        index = collect_ref[kind, :, tile * LANES : (tile + 1) * LANES]
        taps = jnp.zeros(index.shape, jnp.float32)
        for phase in range(bands.phases):
            if tile not in bands.tap_tiles(phase):
                continue
            for chunk in range(bands.pixels // LANES):
                rows = slice(phase * bands.strip, (phase + 1) * bands.strip)
                source = band[rows, chunk * LANES : (chunk + 1) * LANES]
                here = index >> 7 == phase * (bands.pixels // LANES) + chunk
                taps = jnp.where(here, _gather(source, index & 127), taps)
        tiles.append(taps)
    return jnp.concatenate(tiles, axis=1)


def _patch(
    plan: _Plan, features_ref: Any, *, anchor: Any, block: Any, strip: int
) -> Any:
    """Stack the pixels of a strip: (pixels, channels)."""
    bands, rows = plan.bands, plan.geometry.rows
    first = bands.first_column(strip)
    columns = slice(first, first + bands.columns)
    parts = []
    for i in range(bands.reach):
        # A row outside the map has weight zero: any other does in its place.
        y = jnp.clip(anchor * rows.down - rows.radius + i, 0, rows.size - 1)
        parts.append(features_ref[0, y - plan.first_source_row(block), columns, :])
    unused = bands.pixels - bands.reach * bands.columns
    if unused:
        parts.append(jnp.zeros((unused, parts[0].shape[-1]), parts[0].dtype))
    return jnp.concatenate(parts).astype(plan.product_dtype)


def _only_group(plan: _Plan, x: Any, group: Any, other: Any) -> Any:
    """Take the lanes of a group from x, the rest from `other`."""
    own = plan.channels // plan.geometry.groups
    lane = lax.broadcasted_iota(jnp.int32, x.shape, 1)
    return jnp.where((lane >= group * own) & (lane < (group + 1) * own), x, other)


def _interleave(plan: _Plan, parts: list[Any], dtype: Any) -> Any:
    """Interleave the rows of the column phases."""
    if len(parts) == 1:
        return parts[0].astype(dtype)
    if len(parts) == 2 and dtype == jnp.bfloat16 and not plan.interpret:
        # Two bfloat16 rows share a 32-bit sublane: packing interleaves them.
        return pltpu.bitcast(pltpu.pack_elementwise(parts, packed_dtype=dtype), dtype)
    stacked = jnp.stack(parts, axis=1)
    return stacked.reshape(-1, stacked.shape[-1]).astype(dtype)


def _cotangent(
    plan: _Plan, cotangent_ref: Any, *, row: Any, anchor: Any, strip: int
) -> Any:
    """Return the cotangents of a strip by phase: (phases * strip, channels)."""
    up, width = plan.bands.up, plan.config.strip * plan.bands.up
    rows, columns = plan.geometry.rows, plan.geometry.columns
    first = strip * width
    phases = []
    for py in range(up):
        x = cotangent_ref[0, row * up + py, first : first + width, :]
        for px, phase in enumerate(_deinterleave(plan, x)):
            anchors = lax.broadcasted_iota(jnp.int32, phase.shape, 0)
            column = (strip * plan.config.strip + anchors) * up + px
            exists = column < columns.output_size
            exists = exists & (anchor * up + py < rows.output_size)
            # What lies outside the array may be NaN.
            phases.append(jnp.where(exists, phase, 0).astype(plan.product_dtype))
    return jnp.concatenate(phases)


def _deinterleave(plan: _Plan, x: Any) -> list[Any]:
    up = plan.bands.up
    if up == 1:
        return [x.astype(jnp.float32)]
    if up == 2 and x.dtype == jnp.bfloat16 and not plan.interpret:
        pairs = pltpu.bitcast(x, jnp.uint32)
        halves = pairs << 16, pairs & jnp.uint32(0xFFFF0000)
        return [lax.bitcast_convert_type(half, jnp.float32) for half in halves]
    split = x.astype(jnp.float32).reshape(-1, up, x.shape[-1])
    return [split[:, phase] for phase in range(up)]


def _own_group(plan: _Plan, axis: int) -> Any:
    """Return the first group of this block of channels."""
    if plan.own_groups > 1:
        return 0
    own = plan.channels // plan.geometry.groups
    return pl.program_id(axis) // (own // plan.config.channels)


def _reassemble_kernel(
    rows_ref: Any,
    spread_ref: Any,
    features_ref: Any,
    weights_ref: Any,
    out_ref: Any,
    *,
    plan: _Plan,
) -> None:
    block, first_group = pl.program_id(1), _own_group(plan, 2)
    up, width = plan.bands.up, plan.config.strip

    def run_strip(row: Any, anchor: Any, strip: int) -> None:
        kernels = _load_kernels(
            plan, weights_ref, rows_ref, row=row, anchor=anchor, strip=strip
        )
        patch = _patch(plan, features_ref, anchor=anchor, block=block, strip=strip)

        def run_group(group: Any) -> Any:
            own = _turn_lanes(plan, kernels, group, back=False)
            band = _band(plan, own, spread_ref, strip=strip)
            return plan.dot(band, patch, (1, 0))

        out = run_group(first_group)
        if plan.own_groups > 1:
            out = lax.fori_loop(
                1,
                plan.own_groups,
                lambda group, out: _only_group(plan, run_group(group), group, out),
                out,
            )
        for py in range(up):
            parts = [
                out[(py * up + px) * width : (py * up + px + 1) * width]
                for px in range(up)
            ]
            columns = slice(strip * width * up, (strip + 1) * width * up)
            pixels = _interleave(plan, parts, out_ref.dtype)
            out_ref[0, row * up + py, columns, :] = pixels

    def run_row(row: Any, _: None) -> None:
        for strip in range(plan.bands.strips):
            run_strip(row, block * plan.config.rows + row, strip)

    lax.fori_loop(0, plan.config.rows, run_row, None)


def _grad_features_kernel(
    rows_ref: Any,
    spread_ref: Any,
    weights_ref: Any,
    cotangent_ref: Any,
    out_ref: Any,
    sums_ref: Any,
    *,
    plan: _Plan,
) -> None:
    step, first_group = pl.program_id(2), _own_group(plan, 1)
    bands, rows = plan.bands, plan.geometry.rows
    block_rows = plan.config.rows * bands.down

    def run_strip(row: Any, anchor: Any, strip: int) -> None:
        kernels = _load_kernels(
            plan, weights_ref, rows_ref, row=row, anchor=anchor, strip=strip
        )
        cotangent = _cotangent(plan, cotangent_ref, row=row, anchor=anchor, strip=strip)

        def run_group(group: Any) -> Any:
            own = _turn_lanes(plan, kernels, group, back=False)
            band = _band(plan, own, spread_ref, strip=strip)
            mine = cotangent
            if plan.own_groups > 1:
                mine = _only_group(plan, cotangent, group, jnp.zeros_like(cotangent))
            return plan.dot(band, mine, (0, 0))

        patch = run_group(first_group)
        if plan.own_groups > 1:
            patch = lax.fori_loop(
                1,
                plan.own_groups,
                lambda group, patch: patch + run_group(group),
                patch,
            )
        first = bands.first_column(strip)
        for i in range(bands.reach):
            to = block_rows + row * bands.down - rows.radius + i
            columns = slice(first, first + bands.columns)
            part = patch[i * bands.columns : (i + 1) * bands.columns]
            sums_ref[to, columns, :] += part

    @pl.when(step == 0)
    def _start() -> None:
        sums_ref[...] = jnp.zeros_like(sums_ref)

    @pl.when(step < pl.num_programs(2) - 1)
    def _add() -> None:
        def run_row(row: Any, _: None) -> None:
            for strip in range(bands.strips):
                run_strip(row, step * plan.config.rows + row, strip)

        lax.fori_loop(0, plan.config.rows, run_row, None)

    @pl.when(step > 0)
    def _emit() -> None:
        def emit(row: Any, _: None) -> None:
            out_ref[0, row] = sums_ref[row].astype(out_ref.dtype)

        lax.fori_loop(0, block_rows, emit, None)

    kept = _kept_rows(bands, plan.config.rows)

    def move(row: Any, _: None) -> None:
        sums_ref[row] = sums_ref[row + block_rows]

    lax.fori_loop(0, kept - block_rows, move, None)
    sums_ref[kept - block_rows :] = jnp.zeros_like(sums_ref[kept - block_rows :])


def _grad_weights_kernel(
    rows_ref: Any,
    collect_ref: Any,
    exists_ref: Any,
    features_ref: Any,
    cotangent_ref: Any,
    *refs: Any,
    plan: _Plan,
) -> None:
    *logits_ref, out_ref, sums_ref = refs
    block, first_group = pl.program_id(1), _own_group(plan, 2)

    def run_strip(row: Any, anchor: Any, strip: int) -> None:
        patch = _patch(plan, features_ref, anchor=anchor, block=block, strip=strip)
        cotangent = _cotangent(plan, cotangent_ref, row=row, anchor=anchor, strip=strip)

        def run_group(group: Any) -> Any:
            mine = cotangent
            if plan.own_groups > 1:
                mine = _only_group(plan, cotangent, group, jnp.zeros_like(cotangent))
            band = plan.dot(mine, patch, (1, 1))
            taps = _unband(plan, band, collect_ref, strip=strip)
            return _turn_lanes(plan, taps, group, back=True)

        taps = run_group(first_group)
        if plan.own_groups > 1:
            taps = lax.fori_loop(
                1, plan.own_groups, lambda group, sums: sums + run_group(group), taps
            )
        sums_ref[row, _anchors_of(plan, strip), :] += taps

    def finish_strip(row: Any, anchor: Any, strip: int) -> None:
        anchors = _anchors_of(plan, strip)
        exists, reads = _row_masks(plan, rows_ref, anchor)
        gradient = jnp.where(reads, sums_ref[row, anchors, :], 0)
        if plan.normalizer is not None:
            logits = logits_ref[0][0, row, anchors, :].astype(jnp.float32)
            gradient = _pull_back(plan, gradient, logits, rows_ref[2:3])
            exists = exists & (exists_ref[plan.kinds[strip]] != MISSING)
            gradient = jnp.where(exists, gradient, 0)
        out_ref[0, row, anchors, :] = gradient.astype(out_ref.dtype)

    def each_strip(run: Any) -> None:
        def run_row(row: Any, _: None) -> None:
            for strip in range(plan.bands.strips):
                run(row, block * plan.config.rows + row, strip)

        lax.fori_loop(0, plan.config.rows, run_row, None)

    @pl.when(pl.program_id(2) == 0)
    def _start() -> None:
        sums_ref[...] = jnp.zeros_like(sums_ref)

    each_strip(run_strip)
    pl.when(pl.program_id(2) == pl.num_programs(2) - 1)(
        lambda: each_strip(finish_strip)
    )


def _plan(
    call: Call, launch: Launch, config: TuningConfig | None, *, interpret: bool
) -> tuple[_Plan, Tables]:
    config = heuristic(call, launch) if config is None else config
    bands = Bands(call.geometry, config.strip)
    lookup = tables(bands)
    plan = _Plan(
        bands=bands,
        kinds=lookup.kinds,
        config=config,
        channels=call.channels,
        normalizer=call.normalizer,
        product_dtype=jnp.promote_types(call.features_dtype, call.weights_dtype),
        weights_dtype=call.weights_dtype,
        interpret=interpret,
    )
    return plan, lookup


def _whole(table: Any) -> pl.BlockSpec:
    return pl.BlockSpec(table.shape, lambda *_: (0,) * table.ndim)


def _parameters(
    plan: _Plan, call: Call, launch: Launch, semantics: tuple[str, ...]
) -> dict[str, Any]:
    need = _vmem_bytes(call, launch, plan.config)
    return {
        "name": f"carafe_{launch}",
        "interpret": pltpu.InterpretParams() if plan.interpret else False,
        "compiler_params": pltpu.CompilerParams(
            dimension_semantics=semantics,
            # Room for what the compiler spills.
            vmem_limit_bytes=max(16 * 2**20, need + 4 * 2**20),
        ),
    }


def _blocks(plan: _Plan) -> int:
    return -(-plan.geometry.rows.anchors // plan.config.rows)


def _features_spec(plan: _Plan) -> pl.BlockSpec:
    sizes = (1, plan.source_rows, plan.geometry.columns.size, plan.config.channels)

    def index(n: Any, block: Any, c: Any) -> tuple[Any, ...]:
        return n, plan.first_source_row(block), 0, c * plan.config.channels

    return pl.BlockSpec(tuple(pl.Element(size) for size in sizes), index)


def _weights_shape(plan: _Plan) -> tuple[int, ...]:
    return 1, plan.config.rows, plan.bands.anchors, plan.bands.lanes


def _pixels_shape(plan: _Plan) -> tuple[int, ...]:
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
        grid=(n, _blocks(plan), channels // plan.config.channels),
        in_specs=[
            _whole(lookup.rows),
            _whole(lookup.spread),
            _features_spec(plan),
            pl.BlockSpec(_weights_shape(plan), lambda n, s, c: (n, s, 0, 0)),
        ],
        out_specs=pl.BlockSpec(_pixels_shape(plan), lambda n, s, c: (n, s, 0, c)),
        out_shape=jax.ShapeDtypeStruct(
            (n, rows.output_size, columns.output_size, channels), dtype
        ),
        **_parameters(plan, call, "reassemble", ("parallel", "parallel", "arbitrary")),
    )(lookup.rows, lookup.spread, features, weights)


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
    rows, columns, blocks = geometry.rows, geometry.columns, _blocks(plan)
    block_rows = plan.config.rows * rows.down
    # The last step only writes: it keeps the blocks that it has.
    return pl.pallas_call(
        functools.partial(_grad_features_kernel, plan=plan),
        grid=(n, channels // plan.config.channels, blocks + 1),
        in_specs=[
            _whole(lookup.rows),
            _whole(lookup.spread),
            pl.BlockSpec(
                _weights_shape(plan),
                lambda n, c, s: (n, jnp.minimum(s, blocks - 1), 0, 0),
            ),
            pl.BlockSpec(
                _pixels_shape(plan),
                lambda n, c, s: (n, jnp.minimum(s, blocks - 1), 0, c),
            ),
        ],
        out_specs=pl.BlockSpec(
            (1, block_rows, columns.size, plan.config.channels),
            lambda n, c, s: (n, jnp.maximum(s - 1, 0), 0, c),
        ),
        out_shape=jax.ShapeDtypeStruct((n, rows.size, columns.size, channels), dtype),
        scratch_shapes=[
            pltpu.VMEM(
                (
                    _kept_rows(plan.bands, plan.config.rows),
                    columns.size,
                    plan.config.channels,
                ),
                jnp.float32,
            )
        ],
        **_parameters(
            plan, call, "grad_features", ("parallel", "parallel", "arbitrary")
        ),
    )(lookup.rows, lookup.spread, weights, cotangent)


def grad_weights(
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
    wide = jnp.promote_types(features.dtype, cotangent.dtype)
    own = jnp.dtype(dtype) if weights is None else weights.dtype
    call = Call(geometry, n, channels, wide, own, normalizer)
    plan, lookup = _plan(call, "grad_weights", config, interpret=interpret)
    plan = dataclasses.replace(plan, product_dtype=wide)
    rows, columns = geometry.rows, geometry.columns
    weights_spec = pl.BlockSpec(_weights_shape(plan), lambda n, s, c: (n, s, 0, 0))
    logits = [] if weights is None else [weights]
    return pl.pallas_call(
        functools.partial(_grad_weights_kernel, plan=plan),
        grid=(n, _blocks(plan), channels // plan.config.channels),
        in_specs=[
            _whole(lookup.rows),
            _whole(lookup.collect),
            _whole(lookup.exists),
            _features_spec(plan),
            pl.BlockSpec(_pixels_shape(plan), lambda n, s, c: (n, s, 0, c)),
            *(weights_spec for _ in logits),
        ],
        out_specs=weights_spec,
        out_shape=jax.ShapeDtypeStruct(
            (n, rows.anchors, columns.anchors, plan.bands.channels), dtype
        ),
        scratch_shapes=[pltpu.VMEM(_weights_shape(plan)[1:], jnp.float32)],
        **_parameters(
            plan, call, "grad_weights", ("parallel", "parallel", "arbitrary")
        ),
    )(lookup.rows, lookup.collect, lookup.exists, features, cotangent, *logits)
