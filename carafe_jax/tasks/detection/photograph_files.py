"""Files and folders of photographs to detect in, and the pictures to write."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from carafe_jax.data import list_images
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder, check_new
from carafe_jax.tasks.detection.coco_file import recorded_path
from carafe_jax.texts import counted, printable

RESULTS = "detections.json"
"""Name of the file of all detections, in the output folder."""


@dataclasses.dataclass(frozen=True)
class DetectJob:
    """A photograph and its picture with the detections."""

    photograph: pathlib.Path
    name: str
    """Name of the photograph in the results: its path within the folder that was given,
    after the folder's name where several paths were given."""
    picture: pathlib.Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectPlan:
    """The photographs to detect in, and those that are left out."""

    jobs: list[DetectJob]
    skipped: int
    """Number of photographs that are finished already."""
    problems: dict[pathlib.Path, str]
    """Reasons why photographs are left out, by photograph."""
    inside_output: int
    """Number of images in the output folder, which are no photographs."""


def plan_detections(
    given: Sequence[pathlib.Path],
    *,
    output: pathlib.Path,
    overwrite: bool,
    pictures: bool = True,
    recorded: Mapping[str, str] | None = None,
) -> DetectPlan:
    """Match photographs with pictures that can be written.

    Args:
      given: Image files and folders, which are searched recursively. A photograph that
        is given twice counts once.
      output: Folder of the pictures and of `detections.json`.
      overwrite: Whether existing files may be overwritten.
      pictures: Whether pictures are written.
      recorded: Paths of the photographs in the `detections.json` to continue, by their
        names; they are finished if they have their pictures. None: there is no such
        file, and pictures that exist are those of others.

    Raises:
      RefusedError: A path does not exist, the output cannot be written, or a file in it
        exists and must not be overwritten.
    """
    check_folder("output", output)
    check_new("output", output / RESULTS, overwrite=True)
    if any(path.is_dir() and _is_same(path, output) for path in given):
        raise RefusedError(
            "`output` must be another folder than that of the photographs, got "
            f"{str(output)!r}."
        )
    jobs, inside = _jobs(given, output)
    problems = _recorded_problems(jobs, recorded or {}, output, pictures=pictures)
    if pictures:
        problems |= _name_problems(jobs)
    jobs = [job for job in jobs if job.photograph not in problems]
    waiting = [
        job
        for job in jobs
        if printable(job.name) not in (recorded or {})
        or (pictures and not os.path.isfile(job.picture))
    ]
    if pictures:
        if recorded is None and not overwrite:
            _check_no_pictures(waiting)
        for job in waiting:
            try:
                check_new("output", job.picture, overwrite=True)
            except RefusedError as error:
                problems[job.photograph] = str(error)
    return DetectPlan(
        jobs=[job for job in waiting if job.photograph not in problems],
        skipped=len(jobs) - len(waiting),
        problems=problems,
        inside_output=inside,
    )


def _check_no_pictures(jobs: Sequence[DetectJob]) -> None:
    existing = [job.picture for job in jobs if os.path.exists(job.picture)]
    if existing:
        raise RefusedError(
            f"`output` must not hold pictures of these photographs, got "
            f"{str(existing[0])!r} and {counted(len(existing) - 1, 'other')}; "
            "--overwrite writes over them."
        )


def _recorded_problems(
    jobs: Sequence[DetectJob],
    recorded: Mapping[str, str],
    output: pathlib.Path,
    *,
    pictures: bool,
) -> dict[pathlib.Path, str]:
    """Return the photographs of whose name, or picture, another one is recorded."""
    taken = {name: (name, path) for name, path in recorded.items()}
    if pictures:
        taken = {str(_picture(output, x)): (x, path) for x, path in recorded.items()}
    problems: dict[pathlib.Path, str] = {}
    for job in jobs:
        name = printable(job.name)
        place = str(_picture(output, name)) if pictures else name
        own = (name, recorded_path(job.photograph))
        if taken.get(place, own) != own:
            problems[job.photograph] = (
                f"{output / RESULTS} has another photograph of its name, "
                f"{taken[place][1]}"
            )
    return problems


def _jobs(
    given: Sequence[pathlib.Path], output: pathlib.Path
) -> tuple[list[DetectJob], int]:
    """Return a job for each photograph, and the number of images in the output."""
    within, inside = output.resolve(), 0
    jobs: dict[pathlib.Path, DetectJob] = {}
    for photograph, name in _names(given):
        real = photograph.resolve()
        if within in real.parents:
            inside += 1
        elif real not in jobs:
            jobs[real] = DetectJob(photograph, name, _picture(output, name))
    return list(jobs.values()), inside


def _picture(output: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of the picture of a photograph with a name."""
    stem = pathlib.PurePath(name).with_suffix("")
    return output / stem.with_name(f"{stem.name}.jpg")


def _names(
    given: Sequence[pathlib.Path],
) -> Iterator[tuple[pathlib.Path, str]]:
    """Yield each photograph with its name in the results."""
    for path in given:
        folder = path if path.is_dir() else path.parent
        # The names of several folders tell apart photographs of the same names.
        prefix = path.resolve().name if path.is_dir() and len(given) > 1 else ""
        for photograph in list_images(path, argument="photographs"):
            name = pathlib.PurePath(prefix) / photograph.relative_to(folder)
            yield photograph, name.as_posix()


def _name_problems(jobs: Sequence[DetectJob]) -> dict[pathlib.Path, str]:
    """Return the photographs whose pictures would have the same name."""
    by_picture: dict[pathlib.Path, list[DetectJob]] = {}
    for job in jobs:
        by_picture.setdefault(job.picture, []).append(job)
    return {
        job.photograph: (
            f"its picture would be {job.picture}, like that of "
            f"{counted(len(same) - 1, 'other photograph')}"
        )
        for same in by_picture.values()
        if len(same) > 1
        for job in same
    }


def _is_same(path: pathlib.Path, other: pathlib.Path) -> bool:
    return path.resolve() == other.resolve()
