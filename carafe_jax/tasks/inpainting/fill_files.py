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
    replaced: dict[pathlib.Path, list[pathlib.Path]]
    """Outputs of the photographs to delete before a new start, by photograph."""
    inside_output: int = 0
    """Number of images in the output folder, which are no photographs."""


def plan_fills(
    photo: pathlib.Path, mask: pathlib.Path, *, output: pathlib.Path, overwrite: bool
) -> FillPlan:
    """Match photographs with masks, and with outputs that can be written.

    Args:
      photo: Photograph, or a folder of photographs.
      mask: Image that marks the hole; or a folder with one per photograph, of the same
        relative path except for the file extension.
      output: PNG file; or a folder, if `photo` is a folder.
      overwrite: Whether to start anew: the existing outputs of all photographs are to
        be deleted.

    Raises:
      RefusedError: A path does not exist or is of the wrong kind; or the output exists,
        cannot be written or is a folder of photographs or masks, or of all of them.
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
    replaced = {photo: [output]} if overwrite else {}
    return FillPlan(jobs=[job], skipped=0, problems={}, unused={}, replaced=replaced)


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
    photos, inside = _by_stem(photo, "photo", output=output)
    masks, _ = _by_stem(mask, "mask", output=output)
    given = {
        path.resolve()
        for group in (photos, masks)
        for x in group.values()
        for path in x
    }
    jobs, problems = _pairs(photos, masks, output=output)
    for job in jobs:
        if job.output.resolve() in given:
            problems[job.photo] = (
                "`output` must be another file than the photographs and masks, got "
                f"{str(job.output)!r}."
            )
    jobs = [job for job in jobs if job.photo not in problems]
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
        replaced=_replaced(photos, given, output=output) if overwrite else {},
        inside_output=inside,
    )


def _replaced(
    photos: _Stems, given: set[pathlib.Path], *, output: pathlib.Path
) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Return the outputs of all photographs, also of those that cannot be filled."""
    outputs = {stem: _output(output, stem) for stem in photos}
    return {
        path: [outputs[stem]] if outputs[stem].resolve() not in given else []
        for stem, paths in photos.items()
        for path in paths
    }


def _output(output: pathlib.Path, stem: str) -> pathlib.Path:
    return output / f"{stem}.png"


def _pairs(
    photos: _Stems, masks: _Stems, *, output: pathlib.Path
) -> tuple[list[FillJob], dict[pathlib.Path, str]]:
    """Pair the single photograph and the single mask of each stem."""
    jobs: list[FillJob] = []
    problems: dict[pathlib.Path, str] = {}
    for stem, found in photos.items():
        of_stem = masks.get(stem, [])
        if len(found) == len(of_stem) == 1:
            jobs.append(FillJob(found[0], of_stem[0], _output(output, stem)))
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


def _by_stem(
    folder: pathlib.Path, argument: str, *, output: pathlib.Path
) -> tuple[_Stems, int]:
    """Group the images of a folder by their relative path without its extension.

    Those in an output folder within it are left out, and counted.
    """
    groups: _Stems = {}
    within, inside = output.resolve(), 0
    apart = folder.resolve() not in within.parents
    for path in list_images(folder, argument=argument):
        if not apart and within in path.resolve().parents:
            inside += 1
            continue
        stem = path.relative_to(folder).with_suffix("").as_posix()
        groups.setdefault(stem, []).append(path)
    if not groups:
        raise RefusedError(
            f"`output` must be another folder than that of `{argument}`, got "
            f"{str(output)!r}, which holds all images of {str(folder)!r}."
        )
    return groups, inside
