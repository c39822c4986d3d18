"""Default block sizes, and the reasons why a call cannot run."""

import functools
import math

from carafe_pallas.call import Call, Launch
from carafe_pallas.mosaic_tpu.bands import LANES, Bands, round_up
from carafe_pallas.mosaic_tpu.plan import (
    TuningConfig,
    bands_of,
    least_rows,
    ring_rows,
)

_DTYPES = ("float32", "bfloat16")
_VMEM_TARGET = 12 * 2**20  # Bytes of VMEM of a default block, if any is that small.
_VMEM_LIMIT = 48 * 2**20  # Bytes of VMEM of any block; v5 and v6 have more.


def refusal(call: Call) -> str | None:
    """Return why these launches cannot run the call; None if they can."""
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    if (largest := _largest(call)) >= 2**31:
        return f"arrays must have less than 2**31 elements, got {largest}"
    for launch in ("reassemble", "grad_features", "grad_kernels"):
        need = vmem_bytes(call, launch, heuristic(call, launch))
        if need > _VMEM_LIMIT:
            return (
                f"`W` and `C` must give blocks of at most {_VMEM_LIMIT} bytes of VMEM, "
                f"got {call.geometry.columns.size} and {call.channels}, which need "
                f"{need}"
            )
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks by VMEM and a model of their cost; nothing here was measured."""
    lines = _lines(call, launch)
    strip = _strip(call, launch)
    configs = [
        TuningConfig(count, strip, channels, lines)
        for channels in _channel_blocks(call)
        for count in _row_counts(call, launch, lines)
    ]
    fitting = (c for c in configs if vmem_bytes(call, launch, c) <= _VMEM_TARGET)
    smallest = min(configs, key=functools.partial(vmem_bytes, call, launch))
    return next(fitting, smallest)


def _lines(call: Call, launch: Launch) -> int:
    rows = call.geometry.rows
    # Neighbouring rows of anchors share source rows: a product of two sums them once.
    return 2 if launch == "grad_features" and rows.up < rows.down else 1


def _strip(call: Call, launch: Launch) -> int:
    def pixels(strip: int) -> int:
        bands = Bands(call.geometry, strip, launch != "grad_features")
        return bands.strips * bands.pixels

    return min(16, 32, key=pixels)


def _row_counts(call: Call, launch: Launch, lines: int) -> list[int]:
    """Return possible rows of anchors of a block, the cheapest first."""
    rows, least, most = call.geometry.rows, 1, 16
    if launch == "grad_features":
        least = least_rows(rows)
        # A block that covers the map is written without an extra step.
        most = round_up(rows.anchors, lines)

    def cost(count: int) -> float:
        # In units of a computed row of anchors. Each block has an overhead of about 0.3
        # rows. The extra step of the gradient of the features costs a third of a block.
        # Nothing hides the copies of the very first block.
        blocks = -(-rows.anchors // count)
        extra = count / 3 if launch == "grad_features" and blocks > 1 else 0
        return count + call.batch * (blocks * (count + 0.3) + extra)

    least = round_up(least, lines)
    return sorted(range(least, max(most, least) + 1, lines), key=cost)


def _channel_blocks(call: Call) -> list[int]:
    """Return possible channels of a block, the widest first."""
    own = call.channels // call.geometry.groups
    if own % LANES:
        return [call.channels]
    return [b for b in range(min(own, 512), 0, -LANES) if own % b == 0]


def _largest(call: Call) -> int:
    """Return the number of elements of the largest array."""
    shapes = call.features_shape, call.output_shape, call.anchor_kernels_shape
    return max(map(math.prod, shapes))


def vmem_bytes(call: Call, launch: Launch, config: TuningConfig) -> int:
    """Return the VMEM of a block in bytes: double-buffered operands, and scratch."""
    bands = bands_of(call.geometry, launch, config)
    rows, columns = call.geometry.rows, call.geometry.columns
    channels = round_up(config.channels, LANES)
    pixel = channels * call.features_dtype.itemsize
    source = round_up(columns.size, 16) * pixel
    out = config.rows * bands.phases * bands.anchors * pixel
    taps = config.rows * bands.anchors * bands.lanes
    kernels, scratch = taps * call.kernels_dtype.itemsize, taps * 4
    spread = 4 * bands.lines * bands.phases * bands.strip * bands.pixels * 4
    match launch:
        case "reassemble":
            span = min(rows.span(config.rows), rows.size)
            return 2 * (span * source + out + kernels + spread) + scratch
        case "grad_features":
            own = config.rows * bands.down * source
            sums = ring_rows(rows, config.rows) * bands.span * channels * 4
            return 2 * (own + out + kernels + spread) + scratch + sums
        case "grad_kernels":
            span = min(rows.span(config.rows), rows.size)
            return 2 * (span * source + out + 2 * kernels + spread) + scratch
