"""Predict the class of each pixel of photographs.

Shows: the number of photographs. For each, NAME.png is its label map, with the index of
a class in each pixel and the colours of the classes; NAME_overlay.jpg is the photograph
under these colours, with the names of the classes in it.
Example: carafe-jax segment photo.jpg folder/ --model RUN -o out/
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Generator
from typing import Annotated, Literal, NoReturn

import tyro
from rich.console import Console

from carafe_jax.arguments import check_count, check_up_to_1
from carafe_jax.cli.console import run, with_option_names
from carafe_jax.cli.interruption import interrupted
from carafe_jax.cli.progress import tracked
from carafe_jax.data import UnreadableImageError, decode_photograph
from carafe_jax.errors import RefusedError
from carafe_jax.files import make_folder
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.photograph_files import (
    delete_outputs,
    find_photographs,
    with_path,
)
from carafe_jax.tasks.segmentation.label_map_files import (
    write_label_map,
    write_overlay,
)
from carafe_jax.tasks.segmentation.loading import load
from carafe_jax.tasks.segmentation.photograph_files import (
    SegmentJob,
    SegmentPlan,
    plan_label_maps,
)
from carafe_jax.tasks.segmentation.prediction import (
    PhotographLabels,
    TrainedSegmenter,
)
from carafe_jax.tasks.segmentation.views import Views
from carafe_jax.texts import counted
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segment(Views):
    """Photographs, and a trained segmentation network."""

    photographs: Annotated[
        tyro.conf.Positional[tuple[pathlib.Path, ...]],
        tyro.conf.arg(metavar="PHOTO [PHOTO ...]", help_behavior_hint="(required)"),
    ]
    """Image files, and folders, which are searched recursively."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """Folder to write label maps and overlays to. Sub-folders are those of the
    photographs."""
    model: pathlib.Path
    """Folder of the run that trained the network."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best by mean IoU, or the last."""
    batch_size: int = 1
    """Photographs of one size per batch, with sliding windows windows; more need
    memory, and pay on accelerators."""
    pictures: Literal["drawn", "none"] = "drawn"
    """Whether to write overlays, or label maps alone."""
    opacity: float = 0.6
    """Weight of the colours in overlays, in [0, 1]; 1 hides the photograph."""
    overwrite: bool = False
    """Start anew: all existing label maps and overlays of the photographs are deleted
    first. Otherwise photographs that are finished are skipped, unless their files have
    changed since, and files by another network or with another opacity are an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_up_to_1("opacity", self.opacity)
        check_count("batch_size", self.batch_size)
        if not self.photographs:
            raise RefusedError("`photographs` must name at least one file or folder.")


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, Segment, doc=__doc__, program="carafe-jax segment", args=args)


def main(config: Segment, console: Console) -> int:
    """Segment every photograph; list those that cannot be read or written."""
    found = find_photographs(config.photographs, output=config.output)
    make_folder("output", config.output)
    with loading(console, config.model):
        segmenter = load(config.model, which=config.which, views=config.views)
    plan = plan_label_maps(
        found,
        output=config.output,
        provenance=segmenter.provenance(),
        opacity=config.opacity if config.pictures == "drawn" else None,
        overwrite=config.overwrite,
    )
    # First: a repeated command takes the files that exist for finished, and those of an
    # earlier version of a photograph must not stay if this command is interrupted.
    delete_outputs(plan.replaced)
    segmented = 0
    failures: dict[pathlib.Path, str] = {}
    try:
        # Closed at once, so that the bar ends before the last lines.
        with contextlib.closing(
            _segment_each(plan, segmenter, config, console)
        ) as outcomes:
            for job, failure in outcomes:
                if failure is None:
                    segmented += 1
                else:
                    failures[job.photograph] = failure
    except KeyboardInterrupt:
        print_line(console, _interrupted(config, plan, segmented))
        raise
    problems = plan.problems | failures
    for path, reason in problems.items():
        line = f"Not segmented: {with_path(path, reason)}"
        print_line(console, with_option_names(line, Segment))
    summary = (
        f"{counted(segmented, 'photograph')} segmented by {segmenter.name}. Written to "
        f"{config.output}"
    )
    if plan.skipped:
        summary += f"; skipped, as they were finished: {plan.skipped}"
    if problems:
        summary += f"; not segmented: {len(problems)}"
    if found.inside_output:
        summary += f"; images in the output folder, left out: {found.inside_output}"
    print_line(console, summary)
    return 1 if problems else 0


def _segment_each(
    plan: SegmentPlan, segmenter: TrainedSegmenter, config: Segment, console: Console
) -> Generator[tuple[SegmentJob, str | None], None, None]:
    """Write the files of each photograph; yield the reason of a failure, or None."""
    outcomes = segmenter.segment_all(
        (job.photograph for job in plan.jobs), batch_size=config.batch_size
    )
    with tracked(outcomes, "segmenting", total=len(plan.jobs), console=console) as each:
        for job, found in zip(plan.jobs, each, strict=True):
            if isinstance(found, UnreadableImageError):
                yield job, str(found)
                continue
            try:
                _write(job, found, opacity=config.opacity)
            except RefusedError as error:
                yield job, str(error)
            else:
                yield job, None


def _write(job: SegmentJob, found: PhotographLabels, *, opacity: float) -> None:
    """Write the label map, and the overlay if there is one.

    Raises:
      UnreadableImageError: The photograph cannot be read any more.
      RefusedError: The overlay is too large for a JPEG.
    """
    write_label_map(job.label_map, found, origin=job.origin)
    if job.overlay is not None:
        write_overlay(
            job.overlay,
            decode_photograph(job.photograph),
            found,
            opacity=opacity,
            origin=job.overlay_origin,
        )


def _interrupted(config: Segment, plan: SegmentPlan, segmented: int) -> str:
    return interrupted(
        "Segmented",
        segmented + plan.skipped,
        len(plan.jobs) + plan.skipped,
        output=config.output,
        overwrite=config.overwrite,
    )
