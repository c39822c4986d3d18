"""Time Mask R-CNN with and without CARAFE++, beside torchvision's.

Paper: table I of CARAFE++ (arXiv:2012.04733): FPN with CARAFE++, 12.5 to 12.2 images/s.
Cost: on two CPU cores a minute for each network to compile, and seconds a step.
Shows: medians of inference and of a training step, and of the ResNet alone, whose time
is that of its convolutions; as a table and detector_speed.csv. torchvision's rows need
torch and torchvision.
Command: python -m experiments.benchmarks.networks.detector_speed
"""

import csv
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.nn import CARAFEUpsample
from carafe_jax.tasks.lines import print_line
from experiments.benchmarks.networks.detector_speed.config import (
    TITLES,
    DetectorSpeed,
    Mode,
    NetworkName,
)
from experiments.benchmarks.networks.detector_speed.inputs import Inputs
from experiments.benchmarks.networks.detector_speed.ours import programs_of
from experiments.benchmarks.networks.detector_speed.peer import torchvision_programs

_CARAFE_FPN = {"upsample": CARAFEUpsample, "extra_level": "lateral"}
_CARAFE = {"upsample": CARAFEUpsample}
_PREPARE: dict[NetworkName, Callable[[Inputs], dict[Mode, Callable[[], Any]]]] = {
    "torchvision": torchvision_programs,
    "carafe_jax": functools.partial(programs_of, fpn={}, mask={}),
    "carafe_fpn": functools.partial(programs_of, fpn=_CARAFE_FPN, mask={}),
    "carafe_fpn_mask": functools.partial(programs_of, fpn=_CARAFE_FPN, mask=_CARAFE),
}


@dataclasses.dataclass
class Program:
    """A compiled program; each call runs it once and waits for it."""

    network: NetworkName
    mode: Mode
    call: Callable[[], Any]
    seconds: list[float]


def main(config: DetectorSpeed, console: Console) -> int:
    """Compile all programs, then time them in turn."""
    inputs = Inputs.draw(config)
    programs: list[Program] = []
    for name in track(config.networks, "compiling", console=console):
        try:
            calls = _PREPARE[name](inputs)
        except ImportError as error:
            print_line(console, f"Left out: {TITLES[name]} ({error})")
            continue
        for mode in config.modes:
            calls[mode]()  # Compiles.
            programs.append(Program(name, mode, calls[mode], []))
    if not programs:
        raise RefusedError(
            f"`networks` must have one that runs, got {config.networks}."
        )
    order = np.random.default_rng(0)
    for _ in track(range(config.repetitions), "timing", console=console):
        for index in order.permutation(len(programs)):
            program = programs[index]
            program.call()  # Warm-up: caches hold the previous program.
            began = time.perf_counter()
            program.call()
            program.seconds.append(time.perf_counter() - began)
    rows = _rows(config, programs)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    console.print(_draw(config, programs, rows[0]["device"]))
    print_line(console, f"Table: {config.output}")
    return 0


def _rows(config: DetectorSpeed, programs: list[Program]) -> list[dict[str, Any]]:
    machine = dataclasses.asdict(describe_machine())
    return [
        {
            "network": program.network,
            "mode": program.mode,
            "batch_size": config.batch_size,
            "height": config.height,
            "width": config.width,
            "seconds": statistics.median(program.seconds),
            "fastest": min(program.seconds),
            "images_per_second": config.batch_size / statistics.median(program.seconds),
            **machine,
        }
        for program in programs
    ]


def _draw(config: DetectorSpeed, programs: list[Program], device: str) -> Table:
    table = Table(
        title=f"Mask R-CNN R50 FPN, {config.batch_size} x {config.height} x "
        f"{config.width}, float32, {device}; medians of {config.repetitions}, ms"
    )
    table.add_column("network")
    for mode in config.modes:
        table.add_column(mode, justify="right")
    found = {
        (
            program.network,
            program.mode,
        ): _milliseconds(program)
        for program in programs
    }
    for name in config.networks:
        if any(network == name for network, _ in found):
            table.add_row(TITLES[name], *(found[name, mode] for mode in config.modes))
    return table


def _milliseconds(program: Program) -> str:
    return f"{1e3 * statistics.median(program.seconds):.0f}"


if __name__ == "__main__":
    run(main, DetectorSpeed, doc=__doc__)
