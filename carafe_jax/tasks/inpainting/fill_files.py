"""Photographs to fill in files and folders: found, read and written."""

import dataclasses
import os
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

_Stems = dict[str, list[pathlib.Path]]


@dataclasses.dataclass(frozen=True)
class FillJob:
    """A photograph, the picture that shows its hole, and the file to write."""

    photo: pathlib.Path
    mask: pathlib.Path
    output: pathlib.Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class FillPlan:
    """The photographs to fill, and the files that are left out."""

    jobs: list[FillJob]
    skipped: int
    """Photographs whose outputs exist and may not be overwritten."""
    problems: dict[pathlib.Path, str]
    """By photograph the reason why it cannot be filled."""
    unused: dict[pathlib.Path, str]
    """By mask the reason why it is of no photograph."""


def plan_fills(
    photo: pathlib.Path, mask: pathlib.Path, *, output: pathlib.Path, overwrite: bool
) -> FillPlan:
    """Pair photographs, masks and outputs that can be written.

    Args:
      photo: Photograph, or a folder of them.
      mask: Picture that shows the hole; or a folder with one for each photograph, of
        the same relative path apart from the file extension.
      output: PNG file; of a folder, a folder.
      overwrite: Whether an output file that exists is allowed.

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
            "`output` must be a file that ends in .png, which keeps every pixel, got "
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
    problems |= {job.photo: reason for job in waiting if (reason := _refusal(job))}
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
    """Pair the only photograph and the only mask of each stem."""
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


def _refusal(job: FillJob) -> str:
    """Return why the output of a job cannot be written; nothing where it can."""
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
