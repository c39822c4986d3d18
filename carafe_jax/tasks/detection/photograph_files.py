"""Files and folders of photographs to detect in, and the pictures to write."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new
from carafe_jax.tasks.detection.coco_file import RecordedPhotograph, recorded_path
from carafe_jax.tasks.photograph_files import (
    FoundPhotographs,
    equal_outputs,
    file_fingerprint,
    find_photographs,
    output_path,
)
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
    fingerprint: str
    """That of the photograph's file."""


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
    replaced: dict[pathlib.Path, list[pathlib.Path]]
    """Pictures to delete before the first detection, by photograph: all of them
    for a new start, otherwise those made before a photograph changed."""
    outdated: list[str]
    """Names of the photographs whose recorded detections are of before the photograph
    was changed, and are to be removed."""


def plan_detections(
    given: Sequence[pathlib.Path],
    *,
    output: pathlib.Path,
    overwrite: bool,
    pictures: bool = True,
    recorded: Mapping[str, RecordedPhotograph] | None = None,
) -> DetectPlan:
    """Match photographs with pictures that can be written.

    Args:
      given: Image files and folders, which are searched recursively. A photograph that
        is given twice counts once.
      output: Folder of the pictures and of `detections.json`.
      overwrite: Whether to start anew: the existing pictures of all photographs are to
        be deleted.
      pictures: Whether pictures are written.
      recorded: Photographs in the `detections.json` that exists, by their names, also
        those that they had when their path was given alone, or with others. Unless
        `overwrite`, they are finished if they have their pictures, and their own files
        have not changed since. None: there is no such file, and pictures that exist are
        those of others.

    Raises:
      RefusedError: A path does not exist, the output cannot be written, or a file in it
        exists and must not be overwritten.
    """
    check_new("output", output / RESULTS, overwrite=True)
    found = find_photographs(given, output=output)
    replaced: dict[pathlib.Path, list[pathlib.Path]] = {x: [] for x in found.names}
    if overwrite:
        replaced = _replaced(found, recorded or {}, output)
        recorded = None
    jobs = [
        DetectJob(
            photograph, name, _picture(output, name), file_fingerprint(photograph)
        )
        for photograph in found.names
        for name in [_name(photograph, found, recorded or {})]
    ]
    problems = _recorded_problems(jobs, recorded or {}, output, pictures=pictures)
    # Without those that clash with a recorded photograph, which stays as it is.
    outputs = {
        job.photograph: job.picture if pictures else pathlib.Path(job.name)
        for job in jobs
        if job.photograph not in problems
    }
    kind = "picture" if pictures else f"name in {RESULTS}"
    problems |= equal_outputs(outputs, kind=kind)
    jobs = [job for job in jobs if job.photograph not in problems]
    outdated = [job for job in jobs if _is_outdated(job, recorded or {})]
    # Also where none are drawn now: a later command would take them for finished.
    replaced |= {job.photograph: [job.picture] for job in outdated}
    waiting = [
        job
        for job in jobs
        if printable(job.name) not in (recorded or {})
        or _is_outdated(job, recorded or {})
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
        inside_output=found.inside_output,
        replaced=replaced,
        outdated=[job.name for job in outdated],
    )


def _is_outdated(job: DetectJob, recorded: Mapping[str, RecordedPhotograph]) -> bool:
    """Return whether the photograph is recorded, and has changed since."""
    then = recorded.get(printable(job.name))
    return then is not None and then.fingerprint != job.fingerprint


def _replaced(
    found: FoundPhotographs,
    recorded: Mapping[str, RecordedPhotograph],
    output: pathlib.Path,
) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Return the pictures under the photographs' names, and those that are recorded."""
    return {
        photograph: [
            _picture(output, x) for x in {name, _name(photograph, found, recorded)}
        ]
        for photograph, name in found.names.items()
    }


def _name(
    photograph: pathlib.Path,
    found: FoundPhotographs,
    recorded: Mapping[str, RecordedPhotograph],
) -> str:
    """Return the name under which a photograph is recorded, or else its name now.

    Names change where a path is given alone, and then with others.
    """
    name, other = found.names[photograph], found.other_names[photograph]
    then = recorded.get(printable(other))
    own = then is not None and then.path == recorded_path(photograph)
    return other if own else name


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
    recorded: Mapping[str, RecordedPhotograph],
    output: pathlib.Path,
    *,
    pictures: bool,
) -> dict[pathlib.Path, str]:
    """Return the photographs of whose name, or picture, another one is recorded."""
    taken = {
        str(_picture(output, name)) if pictures else name: (name, then.path)
        for name, then in recorded.items()
    }
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


def _picture(output: pathlib.Path, name: str) -> pathlib.Path:
    return output_path(output, name, ".jpg")
