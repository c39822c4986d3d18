"""The tidy CSV: a row for each metric."""

import csv
import dataclasses
import datetime
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.benchmarks.aot.chips import CHIPS, find_tool, version
from experiments.benchmarks.aot.llo import TpuCode
from experiments.benchmarks.aot.ptx import GpuCode
from experiments.benchmarks.aot.result import Result
from experiments.benchmarks.reassembly.shapes import SHAPES

Row = dict[str, str | int | float]
Metric = tuple[str, str, int | float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Versions:
    """Versions of the tools, and the date."""

    jax: str
    jaxlib: str
    libtpu: str
    cuda_plugin: str
    ptxas: str
    python: str
    date: str


def describe_versions() -> Versions:
    """Return the installed versions and the date."""
    return Versions(
        jax=version("jax") or "",
        jaxlib=version("jaxlib") or "",
        libtpu=version("libtpu") or "",
        cuda_plugin=version("jax-cuda13-plugin") or "",
        ptxas=_ptxas_version(),
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def write_csv(path: Path, results: Sequence[Result], versions: Versions) -> None:
    """Write every metric, or why there is none, with the versions."""
    rows = [row for result in results for row in _rows(result, versions)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(result: Result, versions: Versions) -> Iterator[Row]:
    job = result.job
    n, h, w, c = SHAPES[job.shape].features
    for metric, unit, value in _metrics(result):
        if value is None:
            continue
        yield {
            **dataclasses.asdict(job),
            "n": n,
            "h": h,
            "w": w,
            "c": c,
            "scale": str(SHAPES[job.shape].scale),
            "config": result.config,
            "status": result.status,
            "reason": result.reason or "; ".join(result.problems),
            "metric": metric,
            "unit": unit,
            "value": value if isinstance(value, int) else float(f"{value:.5g}"),
            **dataclasses.asdict(versions),
        }


def _metrics(result: Result) -> tuple[Metric, ...]:
    """Return name, unit and value of each metric; the names mark estimates."""
    common: tuple[Metric, ...] = (
        ("compiled", "1", int(result.status == "compiled")),
        ("fewest_bytes", "B", result.job.fewest_bytes),
        ("estimated_memory_time", "us", 1e6 * result.memory_seconds),
    )
    if result.code is None:
        return common
    common += (
        ("compile_time", "s", result.seconds),
        ("temporaries", "B", result.temporaries),
    )
    match result.code:
        case GpuCode() as code:
            return (
                *common,
                ("registers", "1", code.registers),
                ("spill_stores", "B", code.spill_stores),
                ("spill_loads", "B", code.spill_loads),
                ("shared_memory", "B", code.shared_memory),
                ("tensor_cores", "1", int(bool(code.products))),
                ("tf32", "1", int(code.tf32)),
                ("other_kernels", "1", code.other_kernels),
            )
        case TpuCode() as code:
            seconds = result.schedule_seconds
            return (
                *common,
                ("vmem", "B", code.vmem),
                ("vmem_spilled", "B", code.spilled),
                ("bundles", "1", code.bundles),
                ("estimated_cycles", "1", code.cycles),
                ("estimated_cycles_around", "1", code.other_cycles),
                ("loops_without_trips", "1", code.unknown_loops),
                ("estimated_schedule_time", "us", seconds and 1e6 * seconds),
                ("matrix_products", "1", code.products),
                ("float32_split", "1", int(code.split)),
                ("clock", "Hz", CHIPS[result.job.chip].clock),
            )


def _ptxas_version() -> str:
    ptxas = find_tool("ptxas")
    if ptxas is None:
        return ""
    output = subprocess.run([ptxas, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"V([\d.]+)", output)
    return found[1] if found else ""
