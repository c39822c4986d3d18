"""Fill holes in photographs with a trained network.

Shows: each photograph with its hole filled, as PNG; its other pixels as they were.
One photograph: carafe-jax fill photo.jpg mask.png --model RUN -o out.png
Folders: carafe-jax fill photos/ masks/ --model RUN -o filled/
A network: `carafe-jax train inpainting` trains one in minutes, in runs/inpainting
"""

import dataclasses
import pathlib
from typing import Annotated, NoReturn

import tyro
from rich.console import Console
from rich.progress import track

from carafe_jax.arguments import check_not_negative
from carafe_jax.cli.console import run
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.tasks.inpainting import load
from carafe_jax.tasks.inpainting.fill_files import find_jobs, read_job
from carafe_jax.tasks.inpainting.hole_pictures import HoleColour
from carafe_jax.tasks.inpainting.photograph_files import write_photograph
from carafe_jax.tasks.inpainting.prediction import check_filling
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fill:
    """Photographs with holes, and a network to fill them with."""

    photo: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar="PHOTO")]
    """Photograph, or a folder of them."""
    mask: Annotated[tyro.conf.Positional[pathlib.Path], tyro.conf.arg(metavar="MASK")]
    """Picture of the same size that shows the hole; or a folder with one for each
    photograph, of the same name but for its ending."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """PNG file to write, with the channels, bits and colour profile of the photograph;
    of a folder, a folder."""
    model: pathlib.Path
    """Folder of the run that trained the network. `carafe-jax train inpainting` makes
    one in minutes, in runs/inpainting."""
    which: CheckpointChoice = "best"
    """Its checkpoint: the best by PSNR in the hole, or the last."""
    hole: HoleColour = "white"
    """Pixels of a mask that mark the hole: white or black ones, or, of any colour,
    transparent or opaque ones. The threshold is half brightness or half opacity."""
    grow: int = 0
    """Pixels by which holes are made wider on each side, where masks leave a seam."""
    reach: int | None = None
    """Pixels from the border of a hole that the network fills at once; deeper holes are
    filled at half the size first, and so on. None: an eighth of the side of the crops
    that it was trained on."""
    longest_side: int = 1024
    """Larger photographs are reduced by an integer factor until no side is above this,
    in pixels; the fill is enlarged."""
    overwrite: bool = False
    """Overwrite files that exist. Without it, an existing file is refused, and skipped
    where folders are filled."""

    def __post_init__(self) -> None:
        check_not_negative("grow", self.grow)
        check_filling(reach=self.reach, longest_side=self.longest_side)


def run_verb(args: list[str]) -> NoReturn:
    """Run the verb with its arguments, and exit."""
    run(main, Fill, doc=__doc__, program="carafe-jax fill", args=args)


def main(config: Fill, console: Console) -> int:
    """Fill each photograph; name those that could not be filled."""
    jobs, problems = find_jobs(
        config.photo, config.mask, output=config.output, overwrite=config.overwrite
    )
    waiting = [job for job in jobs if config.overwrite or not job.output.exists()]
    with loading(console, config.model):
        trained = load(config.model, which=config.which)
    filled = 0
    for job in track(waiting, description="filling", console=console):
        try:
            photo, hole = read_job(job, colour=config.hole, grow=config.grow)
            pixels = trained.fill(
                photo.pixels,
                hole,
                reach=config.reach,
                longest_side=config.longest_side,
            )
            write_photograph(job.output, dataclasses.replace(photo, pixels=pixels))
        except (RefusedError, MissingExtraError) as error:
            problems[job.photo] = str(error)
            continue
        filled += 1
    for path, reason in problems.items():
        print_line(console, f"Not filled: {path}: {reason}")
    summary = f"Filled by {trained.name}, step {trained.step}: {filled}"
    if skipped := len(jobs) - len(waiting):
        summary += f"; skipped, as their files exist: {skipped}"
    if problems:
        summary += f"; not filled: {len(problems)}"
    if filled or skipped:
        summary += f". In {config.output}"
    print_line(console, summary)
    return 1 if problems else 0
