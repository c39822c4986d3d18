"""Programs of several networks, timed in turn."""

import csv
import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from carafe_jax.machine import describe_machine
from carafe_jax.tasks.lines import print_line

Calls = Mapping[str, Callable[[], Any]]
"""Functions by mode; each runs a program once and waits for it."""


@dataclasses.dataclass
class Program:
    """A compiled program of a network."""

    network: str
    mode: str
    call: Callable[[], Any]
    """Runs it once and waits for it."""
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the timings, in seconds."""
        return statistics.median(self.seconds)


def compile_programs(
    prepare: Mapping[str, Callable[[], Calls]],
    *,
    modes: Sequence[str],
    titles: Mapping[str, str],
    console: Console,
) -> list[Program]:
    """Return the programs of each network, without those that cannot be imported.

    Args:
      prepare: Functions that make the programs, by the name of the network.
      modes: Modes to compile.
      titles: Names of the networks for a line about one that is left out.
      console: Console for a progress bar and such lines.
    """
    programs: list[Program] = []
    for name, make in track(prepare.items(), "compiling", console=console):
        try:
            calls = make()
        except ImportError as error:
            print_line(console, f"Left out: {titles[name]} ({error})")
            continue
        for mode in modes:
            calls[mode]()  # Compiles.
            programs.append(Program(name, mode, calls[mode]))
    return programs


def time_in_turn(
    programs: Sequence[Program], *, repetitions: int, console: Console
) -> None:
    """Time each program once per repetition, all of them in random order."""
    order = np.random.default_rng(0)
    for _ in track(range(repetitions), "timing", console=console):
        for index in order.permutation(len(programs)):
            program = programs[index]
            program.call()  # Warm-up: caches hold the previous program.
            began = time.perf_counter()
            program.call()
            program.seconds.append(time.perf_counter() - began)


def write_times(
    path: pathlib.Path,
    programs: Sequence[Program],
    *,
    sizes: Callable[[Program], Mapping[str, int]],
) -> None:
    """Write a CSV with a row for each program.

    Args:
      path: Path of the file.
      programs: Programs with their timings.
      sizes: Returns further columns, with the "batch_size" of a call.
    """
    machine = dataclasses.asdict(describe_machine())
    rows = [
        {
            "network": program.network,
            "mode": program.mode,
            **sizes(program),
            "seconds": program.median,
            "fastest": min(program.seconds),
            "images_per_second": sizes(program)["batch_size"] / program.median,
            **machine,
        }
        for program in programs
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
