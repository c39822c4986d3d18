"""Block sizes where none have been tuned, and the reasons to refuse a call."""

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
_LARGEST = 128  # Pixels of a product that is to hold a whole band: shared memory.
_PROGRAMS = 512  # Enough to fill a GPU.


def refusal(call: Call) -> str | None:
    """Return why these launches cannot run the call; None where they can."""
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    # Arrays of any size are indexed rightly: offsets of more than 32 bits are made of
    # coordinates, each of which must fit.
    rows, columns = call.geometry.rows, call.geometry.columns
    if (longest := max(rows.size, columns.size)) >= (limit := 2**26):
        return f"`H` and `W` must be below {limit}, got {longest}"
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks much like those that were fastest on an H200 at x2 and 1/2."""
    up, down = call.geometry.rows.up, call.geometry.rows.down
    float32 = jnp.float32 in (call.features_dtype, call.kernels_dtype)
    side = 4 if max(up, down) <= 2 else 2
    if launch == "grad_features":
        side = max(1, 4 // down)  # 16 source pixels.
    channels, num_warps = _widths(call, launch, float32=float32)
    # Without tensor cores what is zero costs time: 25 of 48 entries of the band are
    # used with 2 x 4 anchors at x2, 25 of 64 with 4 x 4.
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
    """Choose the channels of a block, and its warps."""
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
    """Split channels where there are few tiles, into equal parts if they divide."""
    columns, rows = plan.grid
    tiles = columns * rows * batch
    steps = max(1, plan.blocks * tiles // _PROGRAMS)
    return max(1, -(-plan.blocks // steps))
