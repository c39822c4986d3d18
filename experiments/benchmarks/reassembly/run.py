"""The run: measure every shape in every mode, and report."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from carafe_jax.errors import RefusedError
from carafe_jax.machine import Machine, describe_machine
from experiments.benchmarks.reassembly.config import MODE_TITLES, Config
from experiments.benchmarks.reassembly.measurement import measure
from experiments.benchmarks.reassembly.memory import copy_bandwidth
from experiments.benchmarks.reassembly.plot import write_plot
from experiments.benchmarks.reassembly.programs import Skip
from experiments.benchmarks.reassembly.records import write_csv
from experiments.benchmarks.reassembly.shapes import Shape
from experiments.benchmarks.reassembly.summary import Summary, summarise
from experiments.benchmarks.reassembly.table import LEGEND, make_table


def run(shapes: Sequence[Shape], config: Config, console: Console) -> list[Summary]:
    """Measure and report; the files go to `config.output`.

    Raises:
      RefusedError: Providers disagree; the message says which, and by how much.
    """
    machine = describe_machine()
    console.print(
        f"{machine.device}, {machine.cores} cores, JAX {machine.jax}, "
        f"{config.dtype}, k = {config.kernel_size}",
        highlight=False,
    )
    bandwidth = copy_bandwidth(config.copy_megabytes)
    console.print(f"A large copy moves {bandwidth / 1e9:.1f} GB/s", highlight=False)
    disagreements: list[str] = []
    summaries = _measure_all(shapes, config, console, bandwidth, disagreements)
    _report(summaries, config, machine, console)
    if disagreements:
        raise RefusedError("Providers disagree.\n" + "\n".join(disagreements))
    return summaries


def _measure_all(
    shapes: Sequence[Shape],
    config: Config,
    console: Console,
    bandwidth: float,
    disagreements: list[str],
) -> list[Summary]:
    summaries: list[Summary] = []
    reported: set[tuple[str, str]] = set()
    with _progress(console) as progress:
        rounds = len(shapes) * len(config.modes) * config.repetitions
        bar = progress.add_task("", total=rounds)
        for shape in shapes:
            for mode in config.modes:
                label = f"{shape.name}, {MODE_TITLES[mode]}"
                progress.update(bar, description=label)
                findings = measure(
                    shape, mode, config, on_round=lambda: progress.advance(bar)
                )
                found = summarise(findings.measurements, bandwidth)
                summaries += found
                if found:
                    console.print(make_table(found))
                for skip in findings.skips:
                    _report_skip(console, label, skip, reported)
                for one in findings.disagreements:
                    disagreements.append(f"{label}: `{one.provider}`: {one.reason}.")
    return summaries


def _report_skip(
    console: Console, label: str, skip: Skip, reported: set[tuple[str, str]]
) -> None:
    """Print, once, why a provider is skipped."""
    if (skip.provider, skip.reason) not in reported:
        reported.add((skip.provider, skip.reason))
        console.print(
            f"{label}: skipped {skip.provider}: {skip.reason}",
            markup=False,
            highlight=False,
        )


def _report(
    summaries: Sequence[Summary], config: Config, machine: Machine, console: Console
) -> None:
    if not summaries:
        console.print("Nothing was measured: every provider was skipped.")
        return
    console.print(LEGEND, highlight=False)
    config.output.mkdir(parents=True, exist_ok=True)
    csv_path = config.output / "reassembly.csv"
    write_csv(csv_path, summaries, config=config, machine=machine)
    console.print(f"Numbers: {csv_path}", markup=False, highlight=False)
    plot_path = config.output / "reassembly.png"
    try:
        write_plot(plot_path, summaries, machine)
        console.print(f"Plot: {plot_path}", markup=False, highlight=False)
    except ImportError as error:
        reason = (
            f"No plot ({error}): pip install 'carafe-jax[train]' brings matplotlib."
        )
        console.print(reason, markup=False)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
