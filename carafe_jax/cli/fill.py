"""Fill holes in photographs with a trained network, or by a classic method.

Shows: the number of filled photographs. Each is written as a PNG that differs from the
photograph in the hole only.
One photograph: carafe-jax fill photo.jpg mask.png --model RUN -o out.png
Folders: carafe-jax fill photos/ masks/ --model RUN -o filled/
Without a network: carafe-jax fill photo.jpg mask.png --method spline -o out.png
To train a network, in runs/inpainting/default, in minutes: carafe-jax train inpainting
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, NoReturn

import numpy as np
import tyro
from rich.console import Console

from carafe_jax.arguments import check_not_negative
from carafe_jax.cli.console import run
from carafe_jax.cli.fill_bars import FillBars
from carafe_jax.cli.interruption import interrupted
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.tasks.inpainting import ClassicMethod, fill_classic, load
from carafe_jax.tasks.inpainting.coarse_to_fine import ReportProgress
from carafe_jax.tasks.inpainting.fill_classic import check_method
from carafe_jax.tasks.inpainting.fill_files import (
    FillJob,
    FillPlan,
    plan_fills,
    read_job,
)
from carafe_jax.tasks.inpainting.mask_files import HoleColour
from carafe_jax.tasks.inpainting.photograph_files import write_photograph
from carafe_jax.tasks.inpainting.prediction import check_filling
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.photograph_files import delete_outputs, with_path
from carafe_jax.train import CheckpointChoice

Method = Callable[[np.ndarray, np.ndarray, ReportProgress], np.ndarray]
"""Function that returns a photograph with its hole filled, and reports progress."""


_NO_MODEL = (
    "`model` must be the folder of a run, got none: `carafe-jax train inpainting` "
    "trains one in minutes, in runs/inpainting/default. Classic methods need no run: "
    "`--method spline`."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FillOptions:
    """Photographs with holes, and the method to fill them."""

    photo: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar="PHOTO")]
    """Photograph, or a folder of photographs."""
    mask: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar="MASK")]
    """Image of the same size that marks the hole; or a folder with one per photograph,
    of the same name except for the file extension."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """PNG file to write, with the channels, bit depth and colour profile of the
    photograph; or a folder, if PHOTO is a folder."""
    method: Literal["network", ClassicMethod] = "network"
    """Trained network, or a classic method, which needs no `model`. The mean colour of
    the given pixels, the harmonic fill and the spline in tension take seconds; so do
    the Telea and Navier-Stokes fills of OpenCV. The biharmonic fill of scikit-image
    takes minutes for large holes."""
    model: pathlib.Path | None = None
    """Folder of the run that trained the network; required by the method `network`."""
    which: CheckpointChoice | None = None
    """Checkpoint of the run: the best by PSNR in the hole, or the last. None: the
    best."""
    hole: HoleColour = "white"
    """Mask pixels that mark the hole: white or black ones; or transparent or opaque
    ones, of any colour. The threshold is half brightness or half opacity."""
    grow: int = 0
    """Pixels by which holes are dilated on each side, for masks that leave a seam."""
    reach: int | None = None
    """Distance from the border of a hole, in pixels, up to which the network fills it
    in one pass; a deeper hole is first filled at half the size, or a quarter, and so
    on. None: a sixth of the side of the training crops."""
    longest_side: int | None = None
    """Longest side at which photographs are filled, in pixels, at least 64. A larger
    photograph is halved until it fits, and its fill is up-sampled: faster, but softer.
    None: the full size."""
    overwrite: bool = False
    """Start anew: all existing outputs of the photographs are deleted first. Otherwise
    an existing output is an error; in folders, its photograph is skipped."""

    def __post_init__(self) -> None:
        check_not_negative("grow", self.grow)
        check_filling(reach=self.reach, longest_side=self.longest_side)
        if self.method == "network":
            if self.model is None:
                raise RefusedError(_NO_MODEL)
            return
        for name in ("model", "which", "reach", "longest_side"):
            if (value := getattr(self, name)) is not None:
                raise RefusedError(
                    f"`{name}` must be left out with the method {self.method!r}, "
                    f"which uses no network, got {str(value)!r}."
                )


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, FillOptions, doc=__doc__, program="carafe-jax fill", args=args)


def main(config: FillOptions, console: Console) -> int:
    """Fill each photograph; list failures, and masks without a photograph."""
    if config.method != "network":
        check_method(config.method)
    plan = plan_fills(
        config.photo, config.mask, output=config.output, overwrite=config.overwrite
    )
    name, fill = _method(config, console)
    # First: a repeated command takes the outputs that exist for finished.
    delete_outputs(plan.replaced)
    filled: list[FillJob] = []
    failures: dict[pathlib.Path, str] = {}
    try:
        for job, failure in _fill_each(plan, fill, config, console):
            if failure is None:
                filled.append(job)
            else:
                failures[job.photo] = failure
    except KeyboardInterrupt:
        if config.photo.is_dir():
            print_line(console, _interrupted(config, plan, filled))
        raise
    problems = plan.problems | failures
    for path, reason in problems.items():
        print_line(console, f"Not filled: {with_path(path, reason)}")
    for path, reason in plan.unused.items():
        print_line(console, f"Not used: {path}: {reason}")
    summary = f"Filled by {name}: {len(filled)}"
    if plan.skipped:
        summary += f"; skipped, as their outputs exist: {plan.skipped}"
    if problems:
        summary += f"; not filled: {len(problems)}"
    if plan.unused:
        summary += f"; masks not used: {len(plan.unused)}"
    if plan.inside_output:
        summary += f"; images in the output folder, left out: {plan.inside_output}"
    if filled:
        summary += f". Written to {config.output}"
    print_line(console, summary)
    return 1 if problems else 0


def _fill_each(
    plan: FillPlan, fill: Method, config: FillOptions, console: Console
) -> Iterator[tuple[FillJob, str | None]]:
    """Fill each photograph; yield the reason of a failure, or None.

    Raises:
      RefusedError: The only photograph that was given cannot be filled.
    """
    with FillBars(console, photographs=len(plan.jobs)) as bars:
        for job in plan.jobs:
            try:
                with bars.photograph() as report:
                    photo, hole = read_job(job, colour=config.hole, grow=config.grow)
                    pixels = fill(photo.pixels, hole, report)
                    done = dataclasses.replace(photo, pixels=pixels)
                    write_photograph(job.output, done)
            except (RefusedError, MissingExtraError) as error:
                if not config.photo.is_dir():
                    raise RefusedError(with_path(job.photo, str(error))) from error
                yield job, str(error)
            else:
                yield job, None


def _interrupted(config: FillOptions, plan: FillPlan, filled: Sequence[FillJob]) -> str:
    return interrupted(
        "Filled",
        len(filled) + plan.skipped,
        len(plan.jobs) + plan.skipped,
        output=config.output,
        overwrite=config.overwrite,
    )


def _method(config: FillOptions, console: Console) -> tuple[str, Method]:
    """Return the name of the method, and the method."""
    if config.method != "network":
        classic = config.method
        return classic, lambda photo, hole, _: fill_classic(photo, hole, method=classic)
    assert config.model is not None, "`FillOptions` raises without it."
    with loading(console, config.model):
        trained = load(config.model, which=config.which or "best")

    def fill(photo: np.ndarray, hole: np.ndarray, report: ReportProgress) -> np.ndarray:
        return trained.fill(
            photo,
            hole,
            reach=config.reach,
            longest_side=config.longest_side,
            progress=report,
        )

    return f"{trained.name}, step {trained.step}", fill
