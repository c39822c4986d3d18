"""The tables on the console, no wider than 80 columns."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from experiments.benchmarks.aot.chips import CHIPS
from experiments.benchmarks.aot.llo import TpuCode
from experiments.benchmarks.aot.ptx import GpuCode
from experiments.benchmarks.aot.result import Result

_GPU = ("regs", "spill", "smem", "mma", "tf32", "mem")
_TPU = ("bundles", "kcycle", "VMEM", "spill", "us", "mem", "x mem")
_SHORT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
LEGENDS = {
    "cuda": (
        "regs: registers per thread; spill: bytes per thread, stores + loads; smem: "
        "shared memory per block in KiB; mma: whether tensor cores are used; tf32: "
        "whether they round float32 to TensorFloat-32; mem: estimated memory time in "
        "us, the minimum traffic at the chip's bandwidth. Nothing was run."
    ),
    "tpu": (
        "bundles: VLIW bundles of the kernel, each counted once; kcycle: estimated "
        "thousands of cycles on one core, bundles times trip counts, with XLA's other "
        "instructions and the shorter side of each branch, without stalls on memory "
        "(>: a loop has no constant end; +: XLA's other instructions add more than a "
        "tenth); VMEM, spill: MiB; us: estimated time, the cycles at the chip's clock; "
        "mem: estimated memory time in us, the minimum traffic at the chip's "
        "bandwidth; x mem: us / mem. Nothing was run."
    ),
}


def make_table(results: Sequence[Result]) -> Table:
    """Return the table of one launch of a backend for one chip, a row for each job."""
    job = results[0].job
    table = Table(
        title=f"{job.chip}, {job.backend}, {job.launch}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    for column in ("map", ""):
        table.add_column(column, no_wrap=True)
    for column in _GPU if CHIPS[job.chip].platform == "cuda" else _TPU:
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        job = result.job
        kind = f"{_SHORT[job.dtype]} {job.normalizer}"
        table.add_row(job.shape, kind, *_cells(result))
    return table


def _cells(result: Result) -> tuple[str, ...]:
    memory = _number(1e6 * result.memory_seconds)
    match result.code:
        case None:
            return (result.status,)
        case GpuCode() as code:
            spills = code.spill_stores + code.spill_loads
            return (
                str(code.registers),
                f"[red]{spills}[/red]" if spills else "0",
                _number(code.shared_memory / 2**10),
                "yes" if code.products else "no",
                "[red]yes[/red]" if code.tf32 else "no",
                memory,
            )
        case TpuCode() as code:
            seconds = result.schedule_seconds
            assert seconds is not None, "every TPU has a clock"
            return (
                str(code.bundles),
                _cycles(code),
                _number(code.vmem / 2**20),
                _number(code.spilled / 2**20) if code.spilled else "0",
                _number(1e6 * seconds),
                memory,
                _number(seconds / result.memory_seconds),
            )


def _cycles(code: TpuCode) -> str:
    more = ">" if code.unknown_loops else ""
    around = "+" if code.other_cycles > code.cycles / 10 else ""
    return f"{more}{_number((code.cycles + code.other_cycles) / 1e3)}{around}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.2g}".rstrip(".")
