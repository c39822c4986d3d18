"""Report what a data set holds, and what is wrong with it.

Shows: images, sizes, classes and objects or pixels of each split; what is dropped,
mended, left out or refused by a run, and why. The output folder gets report.json, and
sheet.png with pictures, their boxes, masks and names, or their label maps.
Example: carafe-jax check-data FOLDER --task detection -o report
Options that change what a run reads or refuses are in the group of its task.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Annotated, NoReturn

import tyro
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.text import Text

from carafe_jax.arguments import (
    check,
    check_between_0_and_1,
    check_count,
    errors_in_group,
)
from carafe_jax.cli.console import run
from carafe_jax.cli.data_tables import print_reports
from carafe_jax.cli.task_options import options_of
from carafe_jax.data import UnreadableImageError, unlogged_findings
from carafe_jax.files import check_folder, write_atomically
from carafe_jax.tasks.classification.data_check_options import (
    DataCheckOptions as ClassificationOptions,
)
from carafe_jax.tasks.data_check import SPLITS, CheckedSplit, SplitReport, check_split
from carafe_jax.tasks.detection.data_check_options import (
    DataCheckOptions as DetectionOptions,
)
from carafe_jax.tasks.inpainting.data_check_options import (
    DataCheckOptions as InpaintingOptions,
)
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.picture_sheet import Section, draw_sheet
from carafe_jax.tasks.registry import TASKS
from carafe_jax.tasks.segmentation.data_check_options import (
    DataCheckOptions as SegmentationOptions,
)
from carafe_jax.texts import printable

_MISSING = {
    "training": "the source serves the evaluation of a run, not its training",
    "test": "a run needs them",
}
_SHEET_WIDTH = 2000
_HEIGHT = 192
_ANNOTATED_HEIGHT = 400  # Names of objects need room.
_SEGMENTED_HEIGHT = 320  # Two pictures, each beside its label map, fit into a row.


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckData:
    """A source of images, and the task that would train on it."""

    source: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="SOURCE", help_behavior_hint="(required)"),
    ]
    """Source of the images, as `data.source` of a run of the task."""
    task: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(TASKS)}}}")]
    """Task of the run."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """Folder to write to."""
    test_fraction: float = 0.1
    """Fraction of a folder that is held out for testing, as `data.test_fraction` of a
    run."""
    # Groups of options are named after the packages of the tasks.
    classification: ClassificationOptions = ClassificationOptions()
    """Options for classification only."""
    detection: DetectionOptions = DetectionOptions()
    """Options for detection only."""
    segmentation: SegmentationOptions = SegmentationOptions()
    """Options for segmentation only."""
    inpainting: InpaintingOptions = InpaintingOptions()
    """Options for inpainting only."""
    decode: bool = False
    """Decode every image, to find unreadable ones."""
    pictures: int = 16
    """Pictures of each split in the sheet."""
    height: int | None = None
    """Height of a picture in the sheet, in pixels. None: 400 for images with annotated
    objects, 320 with label maps, 192 for others."""

    def __post_init__(self) -> None:
        rule = f"be one of {', '.join(map(repr, TASKS))}"
        check("task", self.task, rule, holds=_task(self.task) in TASKS)
        check_between_0_and_1("test_fraction", self.test_fraction)
        check_count("pictures", self.pictures)
        holds = self.height is None or self.height >= 32
        check("height", self.height, "be at least 32", holds=holds)


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, CheckData, doc=__doc__, program="carafe-jax check-data", args=args)


def main(config: CheckData, console: Console) -> int:
    """Report each split; list what a run would refuse, and unreadable images."""
    check_folder("output", config.output)
    task = _task(config.task)
    groups = {
        "classification": config.classification,
        "detection": config.detection,
        "segmentation": config.segmentation,
        "inpainting": config.inpainting,
    }
    package = TASKS[task].package
    options = options_of(package, groups, given_for=f"the task {task!r}")
    opening = Text(printable(f"opening {config.source}"))
    with (
        console.status(opening),
        unlogged_findings(),
        errors_in_group(package, type(options)),
    ):
        splits = TASKS[task].data_check.open_splits(
            config.source, test_fraction=config.test_fraction, options=options
        )
    reports = {
        name: check_split(split, decode=config.decode, name=name, console=console)
        for name, split in splits.opened.items()
    }
    print_reports(reports, title=config.source, console=console)
    for name in SPLITS:
        if name in splits.refused:
            print_line(console, f"Refused in {name}: {splits.refused[name]}")
        elif name not in reports:
            print_line(console, f"No {name} images: {_MISSING[name]}.")
    path = config.output / "report.json"
    with write_atomically(path) as partial:
        summary = {name: report.summary() for name, report in reports.items()}
        summary |= {name: {"refused": [x]} for name, x in splits.refused.items()}
        content = {"source": config.source, "task": task, **summary}
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    height = config.height or max(map(_height, reports.values()))
    sheet = _write_sheet(splits.opened, height=height, config=config, console=console)
    print_line(console, f"Written: {path}" + (f", {sheet}" if sheet else ""))
    usable = not splits.refused and not any(
        report.unreadable or report.use.refused for report in reports.values()
    )
    return 0 if usable else 1


def _task(name: str) -> str:
    """Return the name of a task as the registry has it."""
    return name.replace("_", "-")


def _height(report: SplitReport) -> int:
    """Return the height of pictures of a split in the sheet."""
    if report.objects is not None:
        return _ANNOTATED_HEIGHT
    return _HEIGHT if report.pixels is None else _SEGMENTED_HEIGHT


def _write_sheet(
    splits: Mapping[str, CheckedSplit],
    *,
    height: int,
    config: CheckData,
    console: Console,
) -> pathlib.Path | None:
    """Write the sheet of pictures; return None if no image can be drawn."""
    sections: list[Section] = []
    for name, split in splits.items():
        pictures: list[tuple[Image.Image, str]] = []
        for index in track(
            split.examples(config.pictures),
            description=f"drawing {name}",
            console=console,
        ):
            try:
                pictures.append(split.draw(index, height=height))
            except UnreadableImageError as error:
                print_line(
                    console,
                    f"Not drawn: {split.images.name(index)} ({error.reason})",
                )
        if pictures:
            sections.append(Section(name, pictures))
    if not sections:
        return None
    path = config.output / "sheet.png"
    with write_atomically(path) as partial:
        sheet = draw_sheet(sections, width=_SHEET_WIDTH)
        sheet.save(partial, format="png")
    return path
