"""The tables on the console, no wider than 100 columns. rich is imported only here."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from experiments.benchmarks.reassembly.config import MODE_TITLES
from experiments.benchmarks.reassembly.summary import Summary

_COLUMNS = (
    "ms",
    "quartiles",
    "MB",
    "GFLOP",
    "GB/s",
    "peak",
    "x copy",
    "temp MB",
    "temp/io",
    "speed-up",
)
LEGEND = (
    "ms: median, on an NVIDIA GPU of the kernels by the device's clock; MB: minimum "
    "memory traffic, each array that is read or written once; GFLOP: 2 k*k for each "
    "output pixel and channel, and as much for each gradient; GB/s: MB over ms; peak: "
    "GB/s as a fraction of a large copy's; x copy: time over that of a copy that moves "
    "as many bytes; temp: temporaries of the compiled program, also over its inputs "
    "and outputs; speed-up: over im2col."
)


def make_table(summaries: Sequence[Summary]) -> Table:
    """Return the table of one shape and mode, a row for each provider."""
    shape, mode = summaries[0].shape, MODE_TITLES[summaries[0].mode]
    size = " x ".join(map(str, shape.features))
    table = Table(
        title=f"{shape.name} ({size}, scale {shape.scale}), {mode}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("provider")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for summary in summaries:
        table.add_row(*_cells(summary))
    return table


def _cells(s: Summary) -> tuple[str, ...]:
    lower, median, upper = map(_number, s.quartiles)
    return (
        s.provider,
        median,
        f"{lower}-{upper}",
        _number(s.bytes_moved / 1e6),
        _number(None if s.operations is None else s.operations / 1e9),
        _number(s.bandwidth),
        f"{100 * s.floor_reached:.0f} %",
        _number(s.ratio_to_copy),
        _number(None if s.temporaries is None else s.temporaries / 1e6),
        _number(s.relative_temporaries),
        _number(s.speedup_over_im2col),
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")
