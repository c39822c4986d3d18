"""Files and folders of photographs to fill: pairing with masks, and reading."""

import dataclasses
import os
import pathlib

import numpy as np
from jaxtyping import Bool

from carafe_jax.data import list_images
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder, check_new, is_same_file
from carafe_jax.tasks.inpainting.mask_files import HoleColour, read_hole
from carafe_jax.tasks.inpainting.photograph_files import (
    PhotographFile,
    read_photograph,
)

_Stems = dict[str, list[pathlib.Path]]


@dataclasses.dataclass(frozen=True)
class FillJob:
    """Paths of a photograph, its mask and its output."""

    photo: pathlib.Path
    mask: pathlib.Path
    output: pathlib.Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class FillPlan:
    """The photographs to fill, and the files that are left out."""

    jobs: list[FillJob]
    skipped: int
    """Number of photographs whose outputs exist and may not be overwritten."""
    problems: dict[pathlib.Path, str]
    """Reasons why photographs cannot be filled, by photograph."""
    unused: dict[pathlib.Path, str]
    """Reasons why masks belong to no photograph, by mask."""


def plan_fills(
    photo: pathlib.Path, mask: pathlib.Path, *, output: pathlib.Path, overwrite: bool
) -> FillPlan:
    """Match photographs with masks, and with outputs that can be written.

    Args:
      photo: Photograph, or a folder of photographs.
      mask: Image that marks the hole; or a folder with one per photograph, of the same
        relative path except for the file extension.
      output: PNG file; or a folder, if `photo` is a folder.
      overwrite: Whether existing output files may be overwritten.

    Raises:
      RefusedError: A path does not exist or is of the wrong kind, or the output exists
        or cannot be written.
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
        return _pair_folders(photo, mask, output=output, overwrite=overwrite)
    if output.suffix.lower() != ".png":
        raise RefusedError(
            "`output` must be a file that ends in .png, as PNG is lossless, got "
            f"{str(output)!r}."
        )
    check_new("output", output, overwrite=overwrite)
    if is_same_file(output, mask):
        raise RefusedError(
            f"`output` must be another file than `mask`, got {str(output)!r}."
        )
    job = FillJob(photo, mask, output)
    return FillPlan(jobs=[job], skipped=0, problems={}, unused={})


def read_job(
    job: FillJob, *, colour: HoleColour, grow: int
) -> tuple[PhotographFile, Bool[np.ndarray, "h w"]]:
    """Read a photograph and its hole.

    Args:
      job: Paths of the files.
      colour: Pixels of the mask that mark the hole.
      grow: Pixels by which the hole is dilated on each side.

    Returns:
      The photograph, and an array that is True in the hole.

    Raises:
      RefusedError: A file cannot be read, the mask marks no hole or has another size
        than the photograph, or a PNG cannot hold the photograph losslessly.
      MissingExtraError: Reading the photograph needs OpenCV.
    """
    photo = read_photograph(job.photo)
    height, width, _ = photo.pixels.shape
    hole = read_hole(job.mask, colour=colour, grow=grow, size=(width, height))
    return photo, hole


def _pair_folders(
    photo: pathlib.Path, mask: pathlib.Path, *, output: pathlib.Path, overwrite: bool
) -> FillPlan:
    check_folder("output", output)
    if output.resolve() in (photo.resolve(), mask.resolve()):
        raise RefusedError(
            "`output` must be another folder than `photo` and `mask`, got "
            f"{str(output)!r}."
        )
    photos, masks = _by_stem(photo, "photo"), _by_stem(mask, "mask")
    jobs, problems = _pairs(photos, masks, output=output)
    waiting = [job for job in jobs if overwrite or not os.path.isfile(job.output)]
    problems |= {
        job.photo: reason for job in waiting if (reason := _output_problem(job))
    }
    return FillPlan(
        jobs=[job for job in waiting if job.photo not in problems],
        skipped=len(jobs) - len(waiting),
        problems=problems,
        unused={
            path: f"no photograph is called {stem}.*"
            for stem, paths in masks.items()
            if stem not in photos
            for path in paths
        },
    )


def _pairs(
    photos: _Stems, masks: _Stems, *, output: pathlib.Path
) -> tuple[list[FillJob], dict[pathlib.Path, str]]:
    """Pair the single photograph and the single mask of each stem."""
    jobs: list[FillJob] = []
    problems: dict[pathlib.Path, str] = {}
    for stem, found in photos.items():
        of_stem = masks.get(stem, [])
        if len(found) == len(of_stem) == 1:
            jobs.append(FillJob(found[0], of_stem[0], output / f"{stem}.png"))
        else:
            reason = (
                f"there must be one photograph and one mask called {stem}.*, got "
                f"{len(found)} and {len(of_stem)}"
            )
            problems |= dict.fromkeys(found, reason)
    return jobs, problems


def _output_problem(job: FillJob) -> str:
    """Return the reason why a job's output cannot be written, or an empty string."""
    try:
        check_new("output", job.output, overwrite=True)
    except RefusedError as error:
        return str(error)
    return ""


def _by_stem(folder: pathlib.Path, argument: str) -> _Stems:
    """Group the images of a folder by their relative path without its extension."""
    groups: _Stems = {}
    for path in list_images(folder, argument=argument):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        groups.setdefault(stem, []).append(path)
    return groups
