"""The benchmark at the large shapes, reported in plain lines."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from experiments.benchmarks.reassembly.config import Config, Dtype, ProviderName
from experiments.benchmarks.reassembly.measurement import measure
from experiments.benchmarks.reassembly.memory import copy_bandwidth
from experiments.benchmarks.reassembly.records import write_csv
from experiments.benchmarks.reassembly.shapes import LARGE, SHAPES
from experiments.benchmarks.reassembly.summary import Summary, summarise

# Without stacked patches: they compile slowly, and need many times the memory.
_JAX: tuple[ProviderName, ...] = (
    "carafe",
    "fused_softmax",
    "unfused_softmax",
    "nearest",
    "copy",
)
_TORCH: tuple[ProviderName, ...] = ("carafe", "torch_unfold", "torch_bilinear")

Part = Literal["bfloat16", "float32", "torch"]
_PARTS: dict[Part, tuple[Dtype, tuple[ProviderName, ...]]] = {
    "bfloat16": ("bfloat16", _JAX),
    "float32": ("float32", _JAX),
    # Arrays and results are copied through the host, which takes minutes.
    "torch": ("bfloat16", _TORCH),
}


def benchmark(part: Part, output: Path, report: Callable[[str], None]) -> None:
    """Measure a part; its CSV is rewritten after each shape and mode.

    Raises:
      RefusedError: Providers disagree.
    """
    dtype, providers = _PARTS[part]
    config = Config(dtype=dtype, shapes=LARGE, providers=providers, repetitions=7)
    machine, bandwidth = describe_machine(), copy_bandwidth(config.copy_megabytes)
    speed = f"{bandwidth / 1e9:.0f} GB/s"
    report(f"{machine.device}, JAX {machine.jax}: a copy moves {speed}")
    summaries: list[Summary] = []
    wrong = 0
    for mode in config.modes:
        for shape in (SHAPES[name] for name in config.shapes):
            label = f"{shape.name} {mode}"
            findings = measure(shape, mode, config, on_round=lambda: None)
            found = summarise(findings.measurements, bandwidth)
            for summary in found:
                report(f"{label} {_numbers(summary)}")
            for skip in findings.skips:
                report(f"{label} {skip.provider}: skipped: {skip.reason}")
            for one in findings.disagreements:
                report(f"{label} {one.provider}: wrong result: {one.reason}")
            summaries += found
            wrong += len(findings.disagreements)
            if summaries:
                path = output / f"reassembly_{part}.csv"
                write_csv(path, summaries, config=config, machine=machine)
    if wrong:
        raise RefusedError(f"Providers must agree, got {wrong} that do not.")


def _numbers(s: Summary) -> str:
    peak = f"{100 * s.floor_reached:.0f} % of the copy's bandwidth"
    return f"{s.provider}: {s.milliseconds:.3f} ms, {peak}"
