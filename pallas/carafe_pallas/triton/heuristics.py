"""Default block sizes, and the reasons why a call cannot run."""

import dataclasses

import jax.numpy as jnp

from carafe_pallas.call import Call, Launch
from carafe_pallas.triton.plan import (
    SMALLEST,
    Plan,
    TuningConfig,
    padded,
    plan_of,
    power_of_two,
)

_DTYPES = ("float32", "bfloat16", "float16")
_LARGEST = 128  # Source pixels of a whole band; limited by shared memory.
_PROGRAMS = 512  # Enough programs to fill a GPU.


def refusal(call: Call) -> str | None:
    """Return why these launches cannot run the call; None if they can."""
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    # Arrays may have any number of elements, since Pallas computes large offsets in 64
    # bits; but coordinates, and their products with `up` and `down`, have 32.
    rows, columns = call.geometry.rows, call.geometry.columns
    if (longest := max(rows.size, columns.size)) >= (limit := 2**26):
        return f"`H` and `W` must be below {limit}, got {longest}"
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks like those that were the fastest on an H200 at x2 and x1/2."""
    up, down = call.geometry.rows.up, call.geometry.rows.down
    float32 = jnp.float32 in (call.features_dtype, call.kernels_dtype)
    side = 4 if max(up, down) <= 2 else 2
    if launch == "grad_features":
        side = max(1, 4 // down)  # 16 source pixels.
    channels, num_warps = _widths(call, launch, float32=float32)
    # Without tensor cores, the zeros of the band cost time. At x2 and k = 5, a row of
    # it has 25 taps in 48 entries with 2 x 4 anchors, in 64 with 4 x 4.
    flat = float32 and up == 2 and launch != "grad_features"
    all_channels = power_of_two(call.channels // call.geometry.groups)
    config = TuningConfig(
        rows=side // 2 if flat else side,
        columns=side,
        channels=min(channels, max(SMALLEST, all_channels)),
        depth=16 if float32 else 64,
        num_warps=num_warps,
        num_stages=1 if launch == "reassemble" and (float32 or up > down) else 2,
    )
    plan = plan_of(call, launch, config)
    sources = padded(plan.sources)
    if launch == "reassemble" and not float32 and sources <= _LARGEST:
        config = dataclasses.replace(config, depth=sources)
    return dataclasses.replace(config, programs=_programs(plan, call.batch))


def _widths(call: Call, launch: Launch, *, float32: bool) -> tuple[int, int]:
    """Return the channels of a block and its number of warps."""
    up, down = call.geometry.rows.up, call.geometry.rows.down
    upsamples = up > down
    match launch:
        case "reassemble" if float32:
            return 256, 4
        case "reassemble" if upsamples:
            return 128, 8 if call.normalizer is None else 4
        case "reassemble":
            return 64, 4
        case "grad_features":
            return (256, 4) if float32 or not upsamples else (256, 8)
        case "grad_kernels" if float32:
            # At x3, x4 and 3/2 a product has twice the entries.
            return 16, 8 if up > 2 else 4
        case "grad_kernels":
            return 64 if upsamples else 128, 8


def _programs(plan: Plan, batch: int) -> int:
    """Return the number of programs of a tile: more where there are few tiles."""
    columns, rows = plan.grid
    tiles = columns * rows * batch
    steps = max(1, plan.blocks * tiles // _PROGRAMS)
    return max(1, -(-plan.blocks // steps))
