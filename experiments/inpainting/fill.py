"""Fill holes in photographs with a trained network.

Cost: seconds a photograph on two cores.
Shows: each photograph with its hole filled, as PNG; its other pixels as they were.
Command: python -m experiments.inpainting.fill photo.jpg mask.png -o out.png
Folders: python -m experiments.inpainting.fill photos/ masks/ -o filled/
A network: python -m experiments.inpainting.quickstart trains one in minutes
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Bool, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.text import Text

from carafe_jax.data import UNREADABLE, decode_photograph, list_images
from carafe_jax.errors import RefusedError
from carafe_jax.train import Which, run
from experiments.inpainting.coarse_to_fine import fill_photograph, reach_of
from experiments.inpainting.holes import HoleColour, read_hole
from experiments.inpainting.task import Filler
from experiments.inpainting.trained import load


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filling:
    """Photographs with holes, and a network to fill them with."""

    photo: tyro.conf.Positional[pathlib.Path]
    """Photograph, or a folder of them."""
    mask: tyro.conf.Positional[pathlib.Path]
    """Picture of the same size that shows the hole; or a folder with one for each
    photograph, of the same name but for its ending."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """PNG file to write; of a folder, a folder."""
    checkpoint: pathlib.Path = pathlib.Path("runs/inpainting/quickstart")
    """Folder of the run that trained the network."""
    which: Which = "best"
    """Its checkpoint: the best by PSNR in the hole, or the last."""
    hole: HoleColour = "white"
    """What marks the hole in a mask."""
    grow: int = 0
    """Pixels by which holes are made wider on each side, where masks leave a seam."""
    reach: int | None = None
    """Pixels from the border of a hole that the network fills at once; deeper holes are
    filled at half the size first, and so on. None: an eighth of the side of the crops
    that it was trained on."""
    longest_side: int = 1024
    """Larger photographs are filled at a whole part of their size, with no side above
    this, and the fill is enlarged."""
    overwrite: bool = False
    """Write over what is there. Else a file that is there is refused, and of a folder
    passed over."""

    def __post_init__(self) -> None:
        if self.grow < 0:
            raise RefusedError(f"`grow` must not be negative, got {self.grow}.")
        for name in ("longest_side", "reach"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RefusedError(f"`{name}` must be positive, got {value}.")


_Fill = Callable[
    [UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]], UInt8[np.ndarray, "h w 3"]
]


@dataclasses.dataclass(frozen=True)
class _Job:
    photo: pathlib.Path
    mask: pathlib.Path
    output: pathlib.Path


def main(config: Filling, console: Console) -> int:
    """Fill each photograph; name those that could not be filled."""
    jobs, problems = _find_jobs(config)
    waiting = [job for job in jobs if config.overwrite or not job.output.exists()]
    trained = load(config.checkpoint, which=config.which)
    filler = Filler(trained.network, batch_size=1)
    fill = functools.partial(
        fill_photograph,
        fill=functools.partial(filler, trained.variables),
        reach=config.reach or reach_of(trained.data),
        longest_side=config.longest_side,
    )
    filled = 0
    for job in track(waiting, description="filling", console=console):
        try:
            _fill_file(job, fill, config)
        except UNREADABLE as error:
            problems[job.photo] = str(error)
        else:
            filled += 1
    for path, reason in problems.items():
        console.print(Text(f"Not filled: {path}: {reason}"), soft_wrap=True)
    summary = f"Filled by {trained.name}, step {trained.step}: {filled}"
    if there := len(jobs) - len(waiting):
        summary += f"; there already: {there}"
    if problems:
        summary += f"; not filled: {len(problems)}"
    if filled or there:
        summary += f". In {config.output}"
    console.print(Text(summary), soft_wrap=True)
    return 1 if problems else 0


def _fill_file(job: _Job, fill: _Fill, config: Filling) -> None:
    photo = decode_photograph(job.photo)
    hole = read_hole(job.mask, colour=config.hole, grow=config.grow)
    if hole.shape != photo.shape[:2]:
        raise RefusedError(
            f"the mask must be as large as the photograph, {_size(photo)}, "
            f"got {_size(hole)}"
        )
    pixels = fill(photo, hole)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    partial = job.output.with_suffix(".partial")
    image = Image.fromarray(pixels)
    image.save(partial, format="png", icc_profile=_colour_profile(job.photo))
    partial.replace(job.output)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _colour_profile(path: pathlib.Path) -> bytes | None:
    """Read what the numbers of an RGB file mean; those of others were converted."""
    with Image.open(path) as file:
        return file.info.get("icc_profile") if file.mode.startswith("RGB") else None


def _find_jobs(config: Filling) -> tuple[list[_Job], dict[pathlib.Path, str]]:
    """Pair photographs, masks and outputs; say which photographs lack a mask."""
    for name in ("photo", "mask"):
        path = getattr(config, name)
        if not path.exists():
            raise RefusedError(f"`{name}` must exist, got {str(path)!r}.")
    if config.photo.is_dir() != config.mask.is_dir():
        raise RefusedError(
            "`photo` and `mask` must both be files or both be folders, got "
            f"{str(config.photo)!r} and {str(config.mask)!r}."
        )
    if config.photo.is_dir():
        return _pair_folders(config)
    if config.output.suffix.lower() != ".png" or config.output.is_dir():
        raise RefusedError(
            "`output` must be a file that ends in .png, which keeps every pixel, got "
            f"{str(config.output)!r}."
        )
    if config.output.exists() and not config.overwrite:
        raise RefusedError(
            f"`output` must not exist, got {str(config.output)!r}; --overwrite writes "
            "over it."
        )
    return [_Job(config.photo, config.mask, config.output)], {}


def _pair_folders(config: Filling) -> tuple[list[_Job], dict[pathlib.Path, str]]:
    if config.output.exists() and not config.output.is_dir():
        raise RefusedError(
            f"`output` must be a folder, as `photo` is, got {str(config.output)!r}."
        )
    if config.output.resolve() in (config.photo.resolve(), config.mask.resolve()):
        raise RefusedError(
            "`output` must be another folder than `photo` and `mask`, got "
            f"{str(config.output)!r}."
        )
    masks = _by_stem(config.mask)
    jobs, problems = [], {}
    for stem, photos in _by_stem(config.photo).items():
        found = masks.get(stem, [])
        if len(photos) == len(found) == 1:
            output = config.output / f"{stem}.png"
            jobs.append(_Job(photos[0], found[0], output))
        else:
            reason = (
                f"there must be one photograph and one mask called {stem}.*, got "
                f"{len(photos)} and {len(found)}"
            )
            problems |= dict.fromkeys(photos, reason)
    return jobs, problems


def _by_stem(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Group the images of a folder by their relative path without its ending."""
    groups: dict[str, list[pathlib.Path]] = {}
    for path in list_images(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        groups.setdefault(stem, []).append(path)
    return groups


if __name__ == "__main__":
    run(main, Filling, doc=__doc__)
