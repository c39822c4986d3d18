"""Training steps compiled for a TPU slice: memory, collectives, and their tables."""

import csv
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
from jax.sharding import Mesh
from rich import box
from rich.console import Console
from rich.table import Table

from carafe_jax.tasks.lines import print_line
from experiments.benchmarks.networks.collectives import Collective, collectives_of
from experiments.benchmarks.networks.pods import MEMORY, prepare_compiler


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledStep:
    """Program of one step, analysed; sizes in bytes per chip."""

    arguments: int
    temporaries: int
    traffic: float
    """Memory traffic, by XLA's estimate."""
    collectives: Sequence[Collective]
    seconds: float
    """Time of the compilation."""

    @property
    def memory(self) -> int:
        """Memory of a step; the donated state counts once."""
        return self.arguments + self.temporaries

    @property
    def fits(self) -> bool:
        """Whether a chip has enough memory."""
        return self.memory <= MEMORY


class Result(Protocol):
    """What the tables show of one compiled step."""

    def columns(self) -> Mapping[str, Any]:
        """Return the row of the file, by column."""
        ...

    def cells(self) -> Sequence[str]:
        """Return the row of the printed table."""
        ...

    def problem(self) -> str | None:
        """Return a sentence about a step that must not be so. None: all is well."""
        ...


def compile_step(step: Any, *arguments: Any, mesh: Mesh) -> CompiledStep:
    """Compile a jitted step ahead of time and analyse the program.

    Args:
      step: Function that `jax.jit` returned; JAX does not type its analyses.
      arguments: Shapes of its arguments.
      mesh: Mesh of the slice.
    """
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        compiled = step.lower(*arguments).compile()
    seconds = time.perf_counter() - began
    memory = compiled.memory_analysis()
    return CompiledStep(
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        traffic=float(compiled.cost_analysis().get("bytes accessed", 0.0)),
        collectives=collectives_of(compiled.as_text()),
        seconds=seconds,
    )


def compile_and_report(
    variants: Mapping[str, Callable[[], Result]],
    *,
    title: str,
    header: Sequence[str],
    note: str,
    output: pathlib.Path,
    console: Console,
) -> int:
    """Compile each variant, write the file and print the table.

    Args:
      variants: Functions that compile a step, by the name shown meanwhile.
      title: Title of the printed table.
      header: Its columns.
      note: Text below it, about the columns.
      output: Path of the file, which is written anew after each step.
      console: Console for the table.

    Returns:
      The exit status: 1 if a step has a problem, else 0.
    """
    prepare_compiler()
    results: list[Result] = []
    for name, compile_variant in variants.items():
        with console.status(f"Compiling {name}"):
            results.append(compile_variant())
        _write(output, results)
    console.print(_table(title, header, results))
    console.print(note)
    print_line(console, f"Table: {output}")
    problems = [x for x in (result.problem() for result in results) if x]
    for problem in problems:
        print_line(console, problem)
    return int(bool(problems))


def _write(path: pathlib.Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(results[0].columns()))
        writer.writeheader()
        writer.writerows(result.columns() for result in results)


def _table(title: str, header: Sequence[str], results: Sequence[Result]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    for column in header:
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(*result.cells())
    return table
