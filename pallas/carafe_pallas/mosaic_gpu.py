"""Reassembly and its two gradients on Hopper GPUs and later (Pallas, Mosaic GPU).

A block is a warpgroup of 128 threads, over a few rows of anchors, a run of anchors
along the columns and a block of channels of one group; the gradient of the weights runs
over the blocks of channels of all groups instead. The copy engine brings the patch of
source pixels (zeros outside the map) and the weights into shared memory; threads
normalise the weights, a row of taps each; then every thread holds eight channels of a
few neighbouring pixels and sums float32 products over the taps. A feature that it loads
serves all the phases and, with `run` > 1, its neighbours' windows.

Several blocks share a processor, so that one copies while another computes. Shared
memory of a block: `_scratch`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas._mosaic_gpu_plan import Plan, widen
from carafe_pallas._mosaic_gpu_plan import TuningConfig as TuningConfig
from carafe_pallas._mosaic_gpu_tiles import (
    ROWS,
    Stride,
    across,
    full,
    interpreter,
    load,
    store,
)
from carafe_pallas._mosaic_gpu_weights import CHUNK
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry

_DTYPES = ("float32", "bfloat16", "float16")
_SHARED_LIMIT = 227 * 1024  # Bytes of a block, of the 228 KiB of a processor.
_COPY_LIMIT = 256  # Entries along an axis of one copy.
_LAUNCHES: tuple[Launch, ...] = ("reassemble", "grad_features", "grad_weights")


def refusal(call: Call) -> str | None:
    """Say why these kernels cannot run the call; None where they can."""
    groups = call.geometry.groups
    if call.channels % (8 * groups):
        return f"`C / groups` must be a multiple of 8, got {call.channels} / {groups}."
    for name in ("features_dtype", "weights_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}."
    if (largest := _largest(call)) >= 2**31:
        return f"Arrays must have less than 2**31 elements, got {largest}."
    for launch in _LAUNCHES:
        plan = Plan(call, heuristic(call, launch), interpret=False)
        if (shared := _shared_bytes(plan, launch)) > _SHARED_LIMIT:
            return (
                f"`scale` and `kernel_size` need {shared} bytes of shared memory in "
                f"`{launch}`, the limit is {_SHARED_LIMIT}."
            )
        boxes = (*plan.patch, *plan.output, *plan.source, *plan.readers)
        if (longest := max(box.size for box in boxes)) > _COPY_LIMIT:
            return (
                f"`scale` and `kernel_size` need boxes of {longest} pixels in "
                f"`{launch}`, the limit is {_COPY_LIMIT}."
            )
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks by arithmetic alone; nothing here was measured."""
    channels = call.channels // call.geometry.groups
    widest = 64 if launch == "grad_weights" else 128
    block = next(
        b for b in (256, 128, 64, 32, 16, 8) if b <= widest and not channels % b
    )
    # Neighbours in a thread: more sums than registers otherwise, or no gain.
    run = (
        2
        if launch == "reassemble" and call.geometry.rows.up <= 2 and block >= 64
        else 1
    )
    rows = 2 if launch == "reassemble" else 1
    return TuningConfig(rows=rows, tiles=1, channels=block, run=run)


def _largest(call: Call) -> int:
    rows, columns = call.geometry.rows, call.geometry.columns
    weights = rows.up**2 * call.geometry.groups * call.geometry.kernel_size**2
    # Anchors of the gradient are rounded up to whole blocks.
    anchors = rows.anchors * (columns.anchors + _COPY_LIMIT)
    pixels = max(rows.size * columns.size, rows.output_size * columns.output_size)
    return call.batch * max(call.channels * pixels, anchors * weights)


def _window_sums(
    plan: Plan,
    patch_smem: Any,
    kernels_smem: Any,
    *,
    row: Any,
    tile: int,
    phase_rows: list[int],
) -> list[list[Array]]:
    """Sum the windows of a tile of anchors of one row; by phase row and column."""
    rows, columns = plan.call.geometry.rows, plan.call.geometry.columns
    k, channels, lanes = columns.kernel_size, plan.config.channels, plan.tile
    read = functools.partial(load, interpret=plan.interpret)
    first = tile * lanes.pixels

    def add_row(dy: Any, sums: list[list[Array]]) -> list[list[Array]]:
        sums = [list(row) for row in sums]
        for offset in sorted({rows.offsets[p] for p in phase_rows}):
            at = row * plan.down + offset + dy
            for start, run in columns.phase_runs:
                for dx in range(k):
                    block, remainder = divmod(start + dx, plan.down)
                    stride = Stride(lanes.pixels, plan.down, first + block, remainder)
                    x = read(patch_smem, (at,), stride, layout=lanes.layout)
                    x = x.astype(jnp.float32)
                    for i, p in enumerate(phase_rows):
                        if rows.offsets[p] != offset:
                            continue
                        for q in range(run.start, run.stop):
                            weights = read(
                                kernels_smem,
                                (dy * k + dx,),
                                Stride(
                                    lanes.pixels, plan.up**2, first, p * plan.up + q
                                ),
                                layout=lanes.pixel_layout,
                            )
                            weights = across(
                                weights, lanes, channels, interpret=plan.interpret
                            )
                            sums[i][q] = sums[i][q] + weights * x
        return sums

    zeros = full((lanes.pixels, channels), lanes.layout, interpret=plan.interpret)
    return lax.fori_loop(0, k, add_row, [[zeros] * plan.up for _ in phase_rows])


def _phase_row_groups(plan: Plan) -> list[list[int]]:
    """Phase rows that are summed together, so that the sums fit the registers."""
    each = plan.up * plan.config.run * plan.config.channels // plan.tile.lanes
    together = max(1, 64 // each)
    every = list(range(plan.up))
    return [every[i : i + together] for i in range(0, plan.up, together)]


def _reassemble_kernel(
    features_gmem: Any,
    weights_gmem: Any,
    out_gmem: Any,
    patch_smem: Any,
    raw_smem: Any,
    kernels_smem: Any,
    out_smem: Any,
    patch_barrier: Any,
    raw_barrier: Any,
    *,
    plan: Plan,
) -> None:
    n, rows, _, channels = _block(plan)
    run = plan.own_weights
    _fetch_own_weights(plan, weights_gmem, raw_smem, raw_barrier)
    plgpu.copy_gmem_to_smem(
        _box(features_gmem, n, plan.patch, channels, plan), patch_smem, patch_barrier
    )
    plgpu.barrier_wait(patch_barrier)
    group = lax.div(channels.start, plan.group_channels)

    @pl.loop(0, plan.config.rows)
    def _(row):
        plgpu.barrier_wait(raw_barrier.at[row])
        # No thread reads the kernels of the row before any more.
        plgpu.commit_smem()
        run.normalize(raw_smem, row, group, kernels_smem)
        plgpu.commit_smem()
        anchor_row = rows * plan.config.rows + row
        for phase_rows in _phase_row_groups(plan):
            for tile in range(plan.config.tiles):
                sums = _window_sums(
                    plan,
                    patch_smem,
                    kernels_smem,
                    row=row,
                    tile=tile,
                    phase_rows=phase_rows,
                )
                if tile == 0:
                    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
                for i, p in enumerate(phase_rows):
                    for q, value in enumerate(sums[i]):
                        _put(plan, out_smem.at[p], tile, plan.up, q, value)
            plgpu.commit_smem()
            for p in phase_rows:
                _send_row(
                    plan,
                    out_smem.at[p],
                    out_gmem,
                    plan.output,
                    anchor_row * plan.up + p,
                )

    plgpu.wait_smem_to_gmem(0)


def _grad_features_kernel(
    weights_gmem: Any,
    cotangent_gmem: Any,
    out_gmem: Any,
    cotangent_smem: Any,
    raw_smem: Any,
    kernels_smem: Any,
    out_smem: Any,
    cotangent_barrier: Any,
    raw_barrier: Any,
    *,
    plan: Plan,
) -> None:
    n, rows, columns, channels = _block(plan)
    run, up, down = plan.reader_weights, plan.up, plan.down
    low, high = plan.call.geometry.rows.reader_shifts
    group = lax.div(channels.start, plan.group_channels)
    first_row, first_column = (
        rows * plan.config.rows + low,
        columns * plan.anchors + low,
    )
    steps = plan.config.rows + high - low

    def fetch(step: int) -> None:
        slot = step % 2
        _fetch_weights(
            plan,
            run,
            weights_gmem,
            raw_smem.at[slot],
            raw_barrier.at[slot],
            first_row + step,
            first_column,
        )
        plgpu.copy_gmem_to_smem(
            _box(cotangent_gmem, n, plan.readers, channels, plan, step * up, up),
            cotangent_smem.at[slot],
            cotangent_barrier.at[slot],
        )

    sums = {}
    fetch(0)
    for step in range(steps):
        slot = step % 2
        plgpu.commit_smem()
        if step + 1 < steps:
            fetch(step + 1)
        plgpu.barrier_wait(raw_barrier.at[slot])
        mask = run.exists(first_row + step, first_column)
        run.normalize(raw_smem, slot, group, kernels_smem, mask)
        plgpu.barrier_wait(cotangent_barrier.at[slot])
        plgpu.commit_smem()
        _add_readers(plan, cotangent_smem.at[slot], kernels_smem, step, sums)
    for row in range(plan.config.rows):
        for y in range(down):
            if row + y:
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            for tile in range(plan.config.tiles):
                for x in range(down):
                    _put(plan, out_smem, tile, down, x, sums[row, y, x, tile])
            plgpu.commit_smem()
            at = (rows * plan.config.rows + row) * down + y
            _send_row(plan, out_smem, out_gmem, plan.source, at)
    plgpu.wait_smem_to_gmem(0)


def _add_readers(
    plan: Plan,
    cotangent_smem: Any,
    kernels_smem: Any,
    step: int,
    sums: dict[tuple[int, int, int, int], Array],
) -> None:
    """Add what the windows of one row of anchors give to the source pixels."""
    rows = plan.call.geometry.rows
    low, _ = rows.reader_shifts
    k, lanes, channels = rows.kernel_size, plan.tile, plan.config.channels
    read = functools.partial(load, interpret=plan.interpret)
    for tile in range(plan.config.tiles):
        for p in range(plan.up):
            for shift, q in _reading_columns(plan):
                block = tile * lanes.pixels + shift - low
                y = None
                for row, yy, dy in _read_rows(plan, step, p):
                    for xx, dx in _read_columns(plan, shift, q):
                        if y is None:
                            stride = Stride(lanes.pixels, plan.up, block, q)
                            y = read(cotangent_smem, (p,), stride, layout=lanes.layout)
                            y = y.astype(jnp.float32)
                        stride = Stride(
                            lanes.pixels, plan.up**2, block, p * plan.up + q
                        )
                        weights = read(
                            kernels_smem,
                            (dy * k + dx,),
                            stride,
                            layout=lanes.pixel_layout,
                        )
                        weights = across(
                            weights, lanes, channels, interpret=plan.interpret
                        )
                        key = row, yy, xx, tile
                        product = weights * y
                        sums[key] = sums[key] + product if key in sums else product


def _reading_columns(plan: Plan) -> list[tuple[int, int]]:
    columns = plan.call.geometry.columns
    low, high = columns.reader_shifts
    return [(s, q) for s in range(low, high + 1) for q in range(plan.up)]


def _read_rows(plan: Plan, step: int, phase: int) -> list[tuple[int, int, int]]:
    """(row, residue, tap) of the source rows that a phase of a row of anchors reads."""
    rows = plan.call.geometry.rows
    low, _ = rows.reader_shifts
    return [
        (row, residue, tap)
        for row in range(plan.config.rows)
        for residue in range(plan.down)
        for shift, p, tap in rows.readers(residue)
        if p == phase and row + shift == step + low
    ]


def _read_columns(plan: Plan, shift: int, phase: int) -> list[tuple[int, int]]:
    """(residue, tap) of the source columns that a phase of shifted anchors reads."""
    columns = plan.call.geometry.columns
    return [
        (residue, tap)
        for residue in range(plan.down)
        for s, q, tap in columns.readers(residue)
        if (s, q) == (shift, phase)
    ]


def _grad_weights_kernel(
    features_gmem: Any,
    cotangent_gmem: Any,
    *refs: Any,
    plan: Plan,
) -> None:
    weights_gmem = refs[0] if plan.call.normalizer is not None else None
    (
        out_gmem,
        patch_smem,
        cotangent_smem,
        raw_smem,
        sums_smem,
        out_smem,
        box_barrier,
        raw_barrier,
    ) = refs[-8:]
    n, rows, columns, _ = _block(plan, channels=False)
    run, config = plan.own_weights, plan.config
    if weights_gmem is not None:
        _fetch_own_weights(plan, weights_gmem, raw_smem, raw_barrier)
    blocks = plan.group_channels // config.channels
    for group in range(plan.call.geometry.groups):

        @pl.loop(0, blocks)
        def _(block, group=group):
            # Every thread is done with the boxes, and with its sums so far.
            plgpu.commit_smem()
            first = group * plan.group_channels + block * config.channels
            channels = pl.ds(first, config.channels)
            for ref, box, smem in (
                (features_gmem, plan.patch, patch_smem),
                (cotangent_gmem, plan.output, cotangent_smem),
            ):
                plgpu.copy_gmem_to_smem(
                    _box(ref, n, box, channels, plan), smem, box_barrier
                )
            plgpu.barrier_wait(box_barrier)

            @pl.loop(0, config.rows)
            def _(row):
                for tile in range(config.tiles):
                    _dot_windows(
                        plan, patch_smem, cotangent_smem, sums_smem, row, tile, block
                    )

        plgpu.commit_smem()

        @pl.loop(0, config.rows)
        def _(row, group=group):
            gradient = [
                load(
                    sums_smem,
                    (row, tap),
                    Stride(run.rows),
                    layout=ROWS,
                    interpret=plan.interpret,
                )
                for tap in range(run.taps)
            ]
            if weights_gmem is not None:
                if group == 0:
                    plgpu.barrier_wait(raw_barrier.at[row])
                gradient = run.pull_back(gradient, run.logits(raw_smem, row, group))
            anchor_row = rows * config.rows + row
            mask = run.exists(anchor_row, columns * plan.anchors)
            for tap, value in enumerate(gradient):
                # Phases that do not exist: whatever their weights are, it is zero.
                value = jnp.where(mask, value, 0.0).astype(out_smem.dtype)
                stride = Stride(run.rows, run.row_stride, 0, group * run.taps + tap)
                store(out_smem, (row,), stride, value, interpret=plan.interpret)

    plgpu.commit_smem()

    @pl.loop(0, config.rows)
    def _(row):
        anchor_row = rows * config.rows + row

        @pl.when(anchor_row < plan.call.geometry.rows.anchors)
        def _():
            width = plan.grid[2] * plan.anchors
            first = (n * plan.call.geometry.rows.anchors + anchor_row) * width
            first = first + columns * plan.anchors
            run.send(out_smem.at[row], out_gmem, first * run.anchor_stride)

    plgpu.wait_smem_to_gmem(0)


def _dot_windows(
    plan: Plan,
    patch_smem: Any,
    cotangent_smem: Any,
    sums_smem: Any,
    row: Any,
    tile: int,
    block: Any,
) -> None:
    """Add to each weight's sum what a block of channels gives it."""
    rows, columns = plan.call.geometry.rows, plan.call.geometry.columns
    k, up, lanes = columns.kernel_size, plan.up, plan.tile
    first = tile * lanes.pixels
    read = functools.partial(load, interpret=plan.interpret)
    whole = plan.group_channels == plan.config.channels
    for p in range(up):
        cotangents = [
            read(
                cotangent_smem,
                (row * up + p,),
                Stride(lanes.pixels, up, first, q),
                layout=lanes.layout,
            ).astype(jnp.float32)
            for q in range(up)
        ]

        @pl.loop(0, k)
        def _(dy, p=p, cotangents=cotangents):
            at = row * plan.down + rows.offsets[p] + dy
            sums = []
            for start, run in columns.phase_runs:
                for dx in range(k):
                    ahead, remainder = divmod(start + dx, plan.down)
                    stride = Stride(lanes.pixels, plan.down, first + ahead, remainder)
                    x = read(patch_smem, (at,), stride, layout=lanes.layout)
                    x = x.astype(jnp.float32)
                    for q in range(run.start, run.stop):
                        stride = Stride(lanes.pixels, up**2, first, p * up + q)
                        value = jnp.sum(x * cotangents[q], axis=1)
                        if not whole:
                            before = read(
                                sums_smem,
                                (row, dy * k + dx),
                                stride,
                                layout=lanes.pixel_layout,
                            )
                            value = value + jnp.where(block > 0, before, 0.0)
                        sums.append((dx, stride, value))
            if not whole:
                # The lanes of a pixel hold its sum each, and each writes it.
                plgpu.commit_smem()
            for dx, stride, value in sums:
                store(
                    sums_smem,
                    (row, dy * k + dx),
                    stride,
                    value,
                    interpret=plan.interpret,
                )


def _block(plan: Plan, *, channels: bool = True) -> tuple[Any, Any, Any, Any]:
    """Image, block of rows, block of columns and channels of this block."""
    images, rows, columns = (
        lax.axis_index(name) for name in ("images", "rows", "columns")
    )
    if not channels:
        return images, rows, columns, None
    first = lax.axis_index("channels") * plan.config.channels
    return images, rows, columns, pl.ds(first, plan.config.channels)


def _box(
    ref: Any,
    n: Any,
    boxes: Any,
    channels: Any,
    plan: Plan,
    skip: int = 0,
    height: int | None = None,
) -> Any:
    """The pixels of a block in device memory; `height` rows of them after `skip`."""
    row_box, column_box = boxes
    row = row_box.start(lax.axis_index("rows"), interpret=plan.interpret) + skip
    column = column_box.start(lax.axis_index("columns"), interpret=plan.interpret)
    height = row_box.size if height is None else height
    return ref.at[n, pl.ds(row, height), pl.ds(column, column_box.size), channels]


def _put(plan: Plan, smem: Any, tile: int, step: int, at: int, value: Array) -> None:
    stride = Stride(plan.tile.pixels, step, tile * plan.tile.pixels, at)
    store(smem, (), stride, value.astype(smem.dtype), interpret=plan.interpret)


def _send_row(plan: Plan, smem: Any, gmem: Any, boxes: Any, row: Any) -> None:
    """Start to copy a row of pixels out, if there is such a row."""
    n, _, columns, channels = _block(plan)
    start = boxes[1].start(columns, interpret=plan.interpret)

    @pl.when(row < boxes[0].extent)
    def _():
        pixels = pl.ds(start, boxes[1].size)
        plgpu.copy_smem_to_gmem(smem, gmem.at[n, row, pixels, channels])


def _fetch_own_weights(
    plan: Plan, weights_gmem: Any, raw_smem: Any, barrier: Any
) -> None:
    rows, columns = lax.axis_index("rows"), lax.axis_index("columns")

    @pl.loop(0, plan.config.rows)
    def _(row):
        _fetch_weights(
            plan,
            plan.own_weights,
            weights_gmem,
            raw_smem.at[row],
            barrier.at[row],
            rows * plan.config.rows + row,
            columns * plan.anchors,
        )


def _fetch_weights(
    plan: Plan,
    run: Any,
    weights_gmem: Any,
    raw_smem: Any,
    barrier: Any,
    row: Any,
    column: Any,
) -> None:
    rows, columns = plan.call.geometry.rows, plan.call.geometry.columns
    anchor = (lax.axis_index("images") * rows.anchors + row) * columns.anchors + column
    margin = _weights_margin(plan) if plan.interpret else 0
    run.fetch(weights_gmem, raw_smem, barrier, anchor * run.anchor_stride + margin)


def _weights_margin(plan: Plan) -> int:
    """More than any copy of weights reaches beyond them."""
    low, high = plan.call.geometry.rows.reader_shifts
    rows = plan.config.rows + high - low
    run = plan.reader_weights
    anchors = rows * plan.call.geometry.columns.anchors + 2 * run.anchors
    return anchors * run.anchor_stride + CHUNK


def _scratch(plan: Plan, launch: Launch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shared arrays (shape, dtype) and barriers of a launch, by name."""
    config, call = plan.config, plan.call
    own, reader = plan.own_weights, plan.reader_weights
    channels, rows = config.channels, config.rows
    features, weights = call.features_dtype, call.weights_dtype
    match launch:
        case "reassemble":
            shared = {
                "patch_smem": ((*_sizes(plan.patch), channels), features),
                "raw_smem": ((rows, own.length), weights),
                "kernels_smem": ((own.taps, own.rows), jnp.float32),
                "out_smem": ((plan.up, plan.output[1].size, channels), features),
            }
            barriers = {"patch_barrier": (1, 1), "raw_barrier": (own.chunks, rows)}
        case "grad_features":
            box = (2, plan.up, plan.readers[1].size, channels)
            shared = {
                "cotangent_smem": (box, features),
                "raw_smem": ((2, reader.length), weights),
                "kernels_smem": ((reader.taps, reader.rows), jnp.float32),
                "out_smem": ((plan.source[1].size, channels), features),
            }
            barriers = {"cotangent_barrier": (1, 2), "raw_barrier": (reader.chunks, 2)}
        case "grad_weights":
            length = own.length if call.normalizer is not None else CHUNK
            shared = {
                "patch_smem": ((*_sizes(plan.patch), channels), features),
                "cotangent_smem": ((*_sizes(plan.output), channels), features),
                "raw_smem": ((rows, length), weights),
                "sums_smem": ((rows, own.taps, own.rows), jnp.float32),
                "out_smem": ((rows, own.length), weights),
            }
            barriers = {"box_barrier": (2, 1), "raw_barrier": (own.chunks, rows)}
    return shared, barriers


def _sizes(boxes: Any) -> tuple[int, int]:
    return boxes[0].size, boxes[1].size


def _shared_bytes(plan: Plan, launch: Launch) -> int:
    """Shared memory of a block, with 1 KiB for barriers and padding."""
    shared, _ = _scratch(plan, launch)
    total = 1024
    for shape, dtype in shared.values():
        size = jnp.dtype(dtype).itemsize
        for extent in shape:
            size *= extent
        total += size
    return total


def _launch(body: Any, plan: Plan, launch: Launch, out_type: Any, dtypes: Any) -> Any:
    shared, barriers = _scratch(plan, launch)
    scratch = [
        plgpu.SMEM(shape, dtypes.get(name, dtype))
        for name, (shape, dtype) in shared.items()
    ] + [
        plgpu.Barrier(num_arrivals=arrivals, num_barriers=count)
        for arrivals, count in barriers.values()
    ]
    grid, names = plan.grid, ("images", "rows", "columns")
    if launch != "grad_weights":
        grid, names = (*grid, plan.channel_blocks), (*names, "channels")
    return plgpu.kernel(
        functools.partial(body, plan=plan),
        out_type=out_type,
        scratch_types=scratch,
        grid=grid,
        grid_names=names,
        # Barriers are placed by hand: one for all taps instead of two for each.
        compiler_params=plgpu.CompilerParams(unsafe_no_auto_barriers=True),
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
    weights_dtype: Any,
    normalizer: Normalizer | None,
    config: TuningConfig | None,
    interpret: bool,
) -> Plan:
    call = Call(
        geometry=geometry,
        batch=batch,
        channels=channels,
        features_dtype=jnp.dtype(features_dtype),
        weights_dtype=jnp.dtype(weights_dtype),
        normalizer=normalizer,
    )
    return Plan(call, config or heuristic(call, launch), interpret)


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
        weights_dtype=weights.dtype,
        normalizer=normalizer,
        config=config,
        interpret=interpret,
    )
    out, crop = _out_maps(plan, plan.output, c, dtype)
    launch = _launch(
        _reassemble_kernel, plan, "reassemble", out, {"out_smem": jnp.dtype(dtype)}
    )
    return crop(launch(_maps(features, plan, plan.patch), _flat_weights(weights, plan)))


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
        weights_dtype=weights.dtype,
        normalizer=normalizer,
        config=config,
        interpret=interpret,
    )
    out, crop = _out_maps(plan, plan.source, c, dtype)
    launch = _launch(
        _grad_features_kernel,
        plan,
        "grad_features",
        out,
        {"out_smem": jnp.dtype(dtype)},
    )
    return crop(
        launch(_flat_weights(weights, plan), _maps(cotangent, plan, plan.readers))
    )


def grad_weights(
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
        "grad_weights",
        geometry,
        batch=n,
        channels=c,
        features_dtype=features.dtype,
        weights_dtype=dtype if weights is None else weights.dtype,
        normalizer=normalizer,
        config=config,
        interpret=interpret,
    )
    run, rows, columns = plan.own_weights, geometry.rows, geometry.columns
    width = plan.grid[2] * plan.anchors
    size = n * rows.anchors * width * run.anchor_stride
    out = jax.ShapeDtypeStruct((size,), jnp.dtype(dtype))
    dtypes = {
        "out_smem": jnp.dtype(dtype),
        "cotangent_smem": cotangent.dtype,
    }
    launch = _launch(_grad_weights_kernel, plan, "grad_weights", out, dtypes)
    operands = [
        _maps(features, plan, plan.patch),
        _maps(cotangent, plan, plan.output),
    ]
    if weights is not None:
        operands.append(_flat_weights(weights, plan))
    gradient = launch(*operands).reshape(n, rows.anchors, width, run.anchor_stride)
    return gradient[:, :, : columns.anchors]


def _out_maps(plan: Plan, boxes: Any, channels: int, dtype: Any) -> tuple[Any, Any]:
    """Type of a map that a launch writes, and what cuts it to size."""
    (height, width), more = (box.extent for box in boxes), (0, 0)
    if plan.interpret:
        more = boxes[0].high, boxes[1].high
    shape = (plan.call.batch, height + more[0], width + more[1], channels)
    out = jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    return out, lambda map_: map_[:, :height, :width]


def _maps(array: Array, plan: Plan, boxes: Any) -> Array:
    return widen(array, *boxes) if plan.interpret else array


def _flat_weights(weights: Array, plan: Plan) -> Array:
    """One long array; the copy engine needs no rows of whole 16 bytes then."""
    flat = weights.reshape(-1)
    return jnp.pad(flat, _weights_margin(plan)) if plan.interpret else flat
