"""The table, the CSV file and the picture of the lattices of a network."""

import pathlib
from collections.abc import Sequence

from rich.console import Console

from carafe_jax.files import check_folder
from carafe_jax.tasks.inpainting.data import InpaintingDataset
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions, chosen_fills
from carafe_jax.tasks.inpainting.hole_kinds import TITLES, with_each_kind
from carafe_jax.tasks.inpainting.loading import load
from carafe_jax.tasks.inpainting.measuring import samples_of_each
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.tables import draw_table
from carafe_jax.train import CheckpointChoice
from experiments.inpainting.lattices.measurement import (
    Lattice,
    measure_lattices,
    tabulate,
    write_lattices,
)
from experiments.inpainting.lattices.picture import draw_lattices


def report_lattices(
    *,
    model: pathlib.Path,
    which: CheckpointChoice,
    source: str | None,
    periods: Sequence[int],
    batch_size: int,
    output: pathlib.Path | None,
    test: EvaluationOptions,
    console: Console,
) -> None:
    """Measure the lattices of a network and of classic fills; print, write and draw."""
    output = output or model / "lattice"
    check_folder("output", output)
    with loading(console, model):
        trained = load(model, which=which)
    data = test.applied_to(trained.data, source)
    network = trained.fill_batches(batch_size=batch_size)
    methods = {trained.name: network, **chosen_fills(test, console)}
    examples = InpaintingDataset(data).held_out
    tested = with_each_kind(examples, test.kinds(data.masks))
    lattices: list[Lattice] = []
    for kind, some in tested.items():
        measured = measure_lattices(
            some,
            methods,
            holes=kind,
            periods=periods,
            batch_size=batch_size,
            console=console,
        )
        lattices += measured
        results, columns = tabulate(measured)
        shown = f"{data.source}, step {trained.step}"
        title = f"{TITLES[kind]}: lattices (RMS of 255) of {shown}"
        console.print(draw_table(results, columns, title=title, label="method"))
    output.mkdir(parents=True, exist_ok=True)
    write_lattices(output / "lattice.csv", lattices)
    truth = samples_of_each(tested.values(), count=test.sample_rows)
    filled = {trained.name: network(truth)}
    draw_lattices(output / "lattice.png", truth, filled=filled, periods=periods)
    print_line(console, f"Table and picture: {output}")
