"""Photographs to fill in files and folders: found, read and written."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Bool

from carafe_jax.data import list_images
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder, check_new, is_same_file
from carafe_jax.tasks.inpainting.hole_pictures import HoleColour, read_hole
from carafe_jax.tasks.inpainting.photograph_files import (
    PhotographFile,
    read_photograph,
)


@dataclasses.dataclass(frozen=True)
class FillJob:
    """A photograph, the picture that shows its hole, and the file to write."""

    photo: pathlib.Path
    mask: pathlib.Path
    output: pathlib.Path


def find_jobs(
    photo: pathlib.Path, mask: pathlib.Path, *, output: pathlib.Path, overwrite: bool
) -> tuple[list[FillJob], dict[pathlib.Path, str]]:
    """Pair photographs, masks and outputs.

    Args:
      photo: Photograph, or a folder of them.
      mask: Picture that shows the hole; or a folder with one for each photograph, of
        the same relative path but for its ending.
      output: PNG file; of a folder, a folder.
      overwrite: Whether an output file that exists is allowed.

    Returns:
      The jobs, and by photograph the reason why it cannot be one.

    Raises:
      RefusedError: A path does not exist or is of the wrong kind, or the output exists.
    """
    for name, path in {"photo": photo, "mask": mask}.items():
        if not path.exists():
            raise RefusedError(f"`{name}` must exist, got {str(path)!r}.")
    if photo.is_dir() != mask.is_dir():
        raise RefusedError(
            "`photo` and `mask` must both be files or both be folders, got "
            f"{str(photo)!r} and {str(mask)!r}."
        )
    if photo.is_dir():
        return _pair_folders(photo, mask, output)
    if output.suffix.lower() != ".png" or output.is_dir():
        raise RefusedError(
            "`output` must be a file that ends in .png, which keeps every pixel, got "
            f"{str(output)!r}."
        )
    check_new("output", output, overwrite=overwrite)
    if is_same_file(output, mask):
        raise RefusedError(
            f"`output` must be another file than `mask`, got {str(output)!r}."
        )
    return [FillJob(photo, mask, output)], {}


def read_job(
    job: FillJob, *, colour: HoleColour, grow: int
) -> tuple[PhotographFile, Bool[np.ndarray, "h w"]]:
    """Read a photograph and its hole.

    Args:
      job: Files.
      colour: What marks the hole in the mask.
      grow: Pixels by which the hole is made wider on each side.

    Returns:
      The photograph, and True in the hole.

    Raises:
      RefusedError: A file cannot be read, the mask shows no hole or has another size
        than the photograph, or the photograph could not be written as it is.
      MissingExtraError: Reading the photograph needs OpenCV.
    """
    photo = read_photograph(job.photo)
    hole = read_hole(job.mask, colour=colour, grow=grow)
    if hole.shape != photo.pixels.shape[:2]:
        raise RefusedError(
            f"the mask must be as large as the photograph, {_size(photo.pixels)}, "
            f"got {_size(hole)}"
        )
    return photo, hole


def _pair_folders(
    photo: pathlib.Path, mask: pathlib.Path, output: pathlib.Path
) -> tuple[list[FillJob], dict[pathlib.Path, str]]:
    check_folder("output", output)
    if output.resolve() in (photo.resolve(), mask.resolve()):
        raise RefusedError(
            "`output` must be another folder than `photo` and `mask`, got "
            f"{str(output)!r}."
        )
    masks = _by_stem(mask, "mask")
    jobs: list[FillJob] = []
    problems: dict[pathlib.Path, str] = {}
    for stem, photos in _by_stem(photo, "photo").items():
        found = masks.get(stem, [])
        if len(photos) == len(found) == 1:
            jobs.append(FillJob(photos[0], found[0], output / f"{stem}.png"))
        else:
            reason = (
                f"there must be one photograph and one mask called {stem}.*, got "
                f"{len(photos)} and {len(found)}"
            )
            problems |= dict.fromkeys(photos, reason)
    return jobs, problems


def _by_stem(folder: pathlib.Path, argument: str) -> dict[str, list[pathlib.Path]]:
    """Group the images of a folder by their relative path without its ending."""
    groups: dict[str, list[pathlib.Path]] = {}
    for path in list_images(folder, argument=argument):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        groups.setdefault(stem, []).append(path)
    return groups


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
