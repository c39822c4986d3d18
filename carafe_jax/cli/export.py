"""Export a trained classifier, detector or segmentation network to one file.

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
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new, write_atomically
from carafe_jax.tasks import classification, detection, segmentation
from carafe_jax.tasks.classification.export import export as export_classifier
from carafe_jax.tasks.detection import export as detection_export
from carafe_jax.tasks.exported_program import Platform
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.run_folder import open_run
from carafe_jax.tasks.segmentation import export as segmentation_export
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """A trained network, and the platform that its program runs on."""

    model: pathlib.Path
    """Folder of the run that trained the network."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """File to write. The class names are written to a file of the same name with
    .classes.json appended."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best or the last."""
    platform: Platform = "cpu"
    """Platform that the program runs on; cuda for classifiers alone."""
    batch_size: int | None = None
    """Images per batch. None: for classifiers any number, in plain JAX; for others 1.
    For GPUs it must be None: their kernels cannot be exported."""
    overwrite: bool = False
    """Overwrite existing files, which are an error otherwise."""
    size: Literal["any"] | tuple[int, int] | None = None
    """Height and width of the images. Classifiers: any, all sizes, in plain JAX; None,
    the size of the run's test images. Detectors: two multiples of 64; None, the largest
    landscape images of the run. Segmentation networks: two multiples of 32; None, the
    size of a landscape photograph of 4:3, resized as in the run."""


@dataclasses.dataclass(frozen=True)
class _Exported:
    """A program with its classes and how to run it."""

    program: bytearray
    classes: tuple[str, ...]
    usage: tuple[str, ...]


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, Export, doc=__doc__, program="carafe-jax export", args=args)


def main(config: Export, console: Console) -> int:
    """Write the program, and print how to run it."""
    names = config.output.with_name(f"{config.output.name}.classes.json")
    for path in (config.output, names):
        check_new("output", path, overwrite=config.overwrite)
    opened = open_run(config.model)
    export = _EXPORTS.get(opened.task.package)
    if export is None:
        raise RefusedError(
            f"`model` must be the folder of a run of {' or '.join(_EXPORTS)}, got "
            f"{str(config.model)!r}, of the task {opened.config.task!r}."
        )
    with console.status("exporting"):
        exported = export(config)
    # The program appears last, when both files are complete.
    with (
        write_atomically(config.output) as program,
        write_atomically(names) as classes,
    ):
        program.write_bytes(exported.program)
        classes.write_text(json.dumps(exported.classes) + "\n")
    size = len(exported.program) / 2**20
    print_line(console, f"{config.output}: {size:.1f} MiB, classes: {names}")
    for line in exported.usage:
        print_line(console, line)
    return 0


def _classifier(config: Export) -> _Exported:
    if isinstance(config.size, tuple):
        raise RefusedError(
            f"`size` must be 'any' or None for a classifier, got {config.size}."
        )
    trained = classification.load(config.model, which=config.which)
    program = export_classifier(
        trained,
        platform=config.platform,
        batch_size=config.batch_size,
        size=config.size,
    )
    side = trained.data.image_size
    sides = "h, w" if config.size == "any" else f"{side}, {side}"
    usage = (
        "To run it on RGB images in [0, 255], uint8 of shape "
        f"({config.batch_size or 'n'}, {sides}, 3):",
        f"  program = {_opened(config)}",
        "  logits = program.call(images)",
    )
    return _Exported(program, trained.classes, usage)


def _detector(config: Export) -> _Exported:
    if config.size == "any":
        raise RefusedError(
            "`size` must be two multiples of 64 or None for a detector, whose program "
            "is for one size, got 'any'."
        )
    trained = detection.load(config.model, which=config.which)
    count = 1 if config.batch_size is None else config.batch_size
    program = detection_export.export(
        trained, platform=config.platform, batch_size=count, size=config.size
    )
    height, width = detection_export.exported_size(trained, config.size)
    data = trained.data
    usage = (
        f"To run it on RGB images in [0, 255], uint8 of shape ({count}, {height}, "
        f"{width}, 3): photographs resized to at most {data.short_side} x "
        f"{data.long_side} pixels, with zeros at the bottom and right:",
        f"  program = {_opened(config)}",
        "  detections = program.call(images, image_sizes, scale_factors)",
        f"image_sizes: int32 ({count}, 2), heights and widths without the zeros. "
        f"scale_factors: float32 ({count}, 2), width and height of each image divided "
        "by those of its photograph.",
    )
    return _Exported(program, trained.classes, usage)


def _segmenter(config: Export) -> _Exported:
    if config.size == "any":
        raise RefusedError(
            "`size` must be two multiples of 32 or None for a segmentation network, "
            "whose program is for one size, got 'any'."
        )
    trained = segmentation.load(config.model, which=config.which)
    count = 1 if config.batch_size is None else config.batch_size
    program = segmentation_export.export(
        trained, platform=config.platform, batch_size=count, size=config.size
    )
    height, width = segmentation_export.exported_size(trained, config.size)
    usage = (
        "To run it on photographs resized to RGB images in [0, 255], uint8 of shape "
        f"({count}, {height}, {width}, 3):",
        f"  program = {_opened(config)}",
        "  label_maps = program.call(images)",
        f"label_maps: uint8 ({count}, {height}, {width}), indices of the classes.",
    )
    return _Exported(program, trained.classes.names, usage)


def _opened(config: Export) -> str:
    return f"jax.export.deserialize(open({str(config.output)!r}, 'rb').read())"


_EXPORTS = {
    "classification": _classifier,
    "detection": _detector,
    "segmentation": _segmenter,
}
