"""Measure a trained network on test images.

Shows: the quality as a table, and quality.csv in the output folder. Of inpainting, also
classic fills beside it, quality by kind and size of the hole, images.csv, samples.png.
Its own test images: carafe-jax evaluate --model runs/inpainting
Others: add --source FOLDER -o FOLDER
"""

import dataclasses
import pathlib
from typing import Annotated, NoReturn

import tyro
from rich.console import Console

from carafe_jax.arguments import check_count
from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions
from carafe_jax.tasks.run_folder import open_run
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """A trained network, and test images."""

    model: pathlib.Path
    """Folder of the run that trained the network."""
    which: CheckpointChoice = "best"
    """Its checkpoint: the best or the last."""
    source: str | None = None
    """Where the test images come from, as the `data.source` of a run: the test part is
    used, a tenth of a folder without `train` and `val`. None: the run's own."""
    batch_size: int = 16
    """Images at a time."""
    output: Annotated[pathlib.Path | None, tyro.conf.arg(aliases=("-o",))] = None
    """Folder of what is written; needed with `source`. None: `evaluation` in the folder
    of the run."""
    # Groups of options are named after the packages of the tasks.
    inpainting: EvaluationOptions = EvaluationOptions()
    """Options of inpainting runs alone."""

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        if self.source is not None and self.output is None:
            raise RefusedError(
                "`output` must be given with `source`, got None: `evaluation` in the "
                "folder of the run is for its own test images."
            )


def run_verb(args: list[str]) -> NoReturn:
    """Run the verb with its arguments, and exit."""
    run(main, Evaluate, doc=__doc__, program="carafe-jax evaluate", args=args)


def main(config: Evaluate, console: Console) -> int:
    """Measure the network as its task does."""
    opened = open_run(config.model)
    output = config.output or config.model / "evaluation"
    check_folder("output", output)
    groups = {"inpainting": config.inpainting}
    options = groups.pop(opened.task.package, None)
    for name, group in groups.items():
        given = [
            f"`{name}.{field.name}`"
            for field in dataclasses.fields(group)
            if getattr(group, field.name) != field.default
        ]
        if given:
            raise RefusedError(
                f"`{name}` options must be left out for a run of another task, got "
                f"{', '.join(given)} for {str(config.model)!r}, of the task "
                f"{opened.config.task!r}."
            )
    opened.task.evaluation.evaluate(
        config.model,
        which=config.which,
        source=config.source,
        batch_size=config.batch_size,
        output=output,
        options=options,
        console=console,
    )
    return 0
