"""Export a trained classifier to one file.

Shows: the size of the file, and how to run it with JAX alone.
Example: carafe-jax export --model runs/classification/default -o model.jax
"""

import dataclasses
import json
import pathlib
from typing import Annotated, Literal, NoReturn

import tyro
from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.files import check_new
from carafe_jax.tasks.classification import load
from carafe_jax.tasks.classification.export import Platform, export
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """A trained classifier, and the platform that its program runs on."""

    model: pathlib.Path
    """Folder of the run that trained the network."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """File to write. The class names are written to a file of the same name with
    .classes.json appended."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best by top-1, or the last."""
    platform: Platform = "cpu"
    """Platform that the program runs on."""
    batch_size: int | None = None
    """Images per batch. None: any number, in plain JAX. For GPUs it must be None: their
    kernels cannot be exported."""
    overwrite: bool = False
    """Overwrite existing files, which are an error otherwise."""
    size: Literal["any"] | None = None
    """Height and width of the images. any: all sizes, in plain JAX. None: the size of
    the run's test images."""


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, Export, doc=__doc__, program="carafe-jax export", args=args)


def main(config: Export, console: Console) -> int:
    """Write the program, and print how to run it."""
    names = config.output.with_name(f"{config.output.name}.classes.json")
    for path in (config.output, names):
        check_new("output", path, overwrite=config.overwrite)
    trained = load(config.model, which=config.which)
    with console.status("exporting"):
        program = export(
            trained,
            platform=config.platform,
            batch_size=config.batch_size,
            size=config.size,
        )
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_bytes(program)
    names.write_text(json.dumps(trained.classes) + "\n")
    side = trained.data.image_size
    sides = "h, w" if config.size == "any" else f"{side}, {side}"
    shape = f"({config.batch_size or 'n'}, {sides}, 3)"
    console.print(
        f"{config.output}: {len(program) / 2**20:.1f} MiB, classes: {names}",
        markup=False,
        soft_wrap=True,
    )
    console.print(
        "To run it on RGB images in [0, 255], uint8 of shape "
        f"{shape}:\n  program = jax.export.deserialize(open({str(config.output)!r}, "
        "'rb').read())\n  logits = program.call(images)",
        markup=False,
        soft_wrap=True,
    )
    return 0
