"""The tidy CSV: a row for each metric."""

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from carafe_jax.machine import Machine
from experiments.benchmarks.reassembly.config import Config
from experiments.benchmarks.reassembly.summary import Summary

Row = dict[str, str | int | float]


def write_csv(
    path: Path, summaries: Sequence[Summary], *, config: Config, machine: Machine
) -> None:
    """Write every metric, with the machine and the date."""
    rows = [row for summary in summaries for row in _rows(summary, config, machine)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(summary: Summary, config: Config, machine: Machine) -> Iterator[Row]:
    n, h, w, c = summary.shape.features
    for metric, unit, value in _metrics(summary):
        if value is None:
            continue
        lower, _, upper = summary.quartiles
        is_time = metric == "time"
        yield {
            "shape": summary.shape.name,
            "n": n,
            "h": h,
            "w": w,
            "c": c,
            "scale": str(summary.shape.scale),
            "kernel_size": config.kernel_size,
            "groups": config.groups,
            "dtype": config.dtype,
            "provider": summary.provider,
            "mode": summary.mode,
            "metric": metric,
            "unit": unit,
            "value": _rounded(value),
            "lower_quartile": _rounded(lower) if is_time else "",
            "upper_quartile": _rounded(upper) if is_time else "",
            "repetitions": summary.repetitions,
            "clock": summary.clock,
            **dataclasses.asdict(machine),
        }


def _metrics(s: Summary) -> tuple[tuple[str, str, int | float | None], ...]:
    return (
        ("time", "ms", s.milliseconds),
        ("bytes_moved", "B", s.bytes_moved),
        ("operations", "1", s.operations),
        ("bandwidth", "GB/s", s.bandwidth),
        ("copy_bandwidth", "GB/s", s.copy_bandwidth),
        ("floor_reached", "1", s.floor_reached),
        ("ratio_to_copy", "1", s.ratio_to_copy),
        ("ratio_to_nearest", "1", s.ratio_to_nearest),
        ("speedup_over_im2col", "1", s.speedup_over_im2col),
        ("speedup_over_xla", "1", s.speedup_over_xla),
        ("temporaries", "B", s.temporaries),
        ("relative_temporaries", "1", s.relative_temporaries),
    )


def _rounded(value: int | float) -> int | float:
    return value if isinstance(value, int) else float(f"{value:.5g}")
