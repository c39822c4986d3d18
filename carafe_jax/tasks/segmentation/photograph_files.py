"""Photographs to segment, and the files to write for each."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new
from carafe_jax.tasks.photograph_files import (
    FoundPhotographs,
    equal_outputs,
    file_fingerprint,
    output_path,
)
from carafe_jax.tasks.segmentation.label_map_files import Origin, read_origin
from carafe_jax.texts import counted

_FINGERPRINT = "fingerprint"  # Of the photograph, in an origin.


@dataclasses.dataclass(frozen=True)
class SegmentJob:
    """A photograph, and the files to write for it."""

    photograph: pathlib.Path
    label_map: pathlib.Path
    overlay: pathlib.Path | None
    """None: it is not written."""
    origin: Origin
    """All that the label map depends on."""
    overlay_origin: Origin
    """All that the overlay depends on."""

    @property
    def outputs(self) -> Iterator[tuple[pathlib.Path, Origin]]:
        """Files to write, with all that they depend on."""
        yield self.label_map, self.origin
        if self.overlay is not None:
            yield self.overlay, self.overlay_origin

    @property
    def finished(self) -> bool:
        """Whether all files of the photograph exist, and are those of this job."""
        return all(read_origin(path) == origin for path, origin in self.outputs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentPlan:
    """The photographs to segment, and those that are left out."""

    jobs: list[SegmentJob]
    skipped: int
    """Number of photographs that are finished already."""
    problems: dict[pathlib.Path, str]
    """Reasons why photographs are left out, by photograph."""
    replaced: dict[pathlib.Path, list[pathlib.Path]]
    """Files of the photographs to delete before the first is segmented, by photograph:
    all of them for a new start, otherwise those made before a photograph changed."""


def plan_label_maps(
    found: FoundPhotographs,
    *,
    output: pathlib.Path,
    provenance: Mapping[str, Any],
    opacity: float | None,
    overwrite: bool,
) -> SegmentPlan:
    """Match photographs with files that can be written.

    Args:
      found: Photographs.
      output: Folder to write to.
      provenance: All that label maps depend on, besides the photographs.
      opacity: Opacity of the overlays. None: none are written.
      overwrite: Whether to start anew: the existing files of all photographs are to be
        deleted. Otherwise photographs that are finished, and whose own files have not
        changed since, are skipped, also under the name that they had when their path
        was given alone, or with others.

    Raises:
      RefusedError: A file exists that is of another photograph, network or opacity, and
        must not be overwritten.
    """

    def job_of(
        photograph: pathlib.Path, names: Mapping[pathlib.Path, str]
    ) -> SegmentJob:
        return _job(photograph, names[photograph], output, provenance, opacity)

    jobs = [job_of(photograph, found.names) for photograph in found.names]
    outputs = {job.photograph: job.label_map for job in jobs}
    equal = equal_outputs(outputs, kind="label map")
    waiting = [
        job
        for job in jobs
        if overwrite
        or not (job.finished or job_of(job.photograph, found.other_names).finished)
    ]
    problems = {
        job.photograph: equal[job.photograph]
        for job in waiting
        if job.photograph in equal
    }
    for job in waiting:
        if job.photograph in problems:
            continue
        try:
            for path, _ in job.outputs:
                check_new("output", path, overwrite=True)
        except RefusedError as error:
            problems[job.photograph] = str(error)
    ready = [job for job in waiting if job.photograph not in problems]
    if not overwrite:
        _check_own(ready)
    return SegmentPlan(
        jobs=ready,
        skipped=len(jobs) - len(waiting),
        problems=problems,
        replaced=(
            _replaced(jobs, ready, found, output)
            if overwrite
            else _outdated(jobs, ready, found, output)
        ),
    )


def _replaced(
    jobs: list[SegmentJob],
    ready: list[SegmentJob],
    found: FoundPhotographs,
    output: pathlib.Path,
) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Return the files that are written anew, and other files of the photographs."""
    replaced: dict[pathlib.Path, list[pathlib.Path]] = {}
    anew = {job.photograph for job in ready}
    for job in jobs:
        name, other = (
            _paths(output, names[job.photograph])
            for names in (found.names, found.other_names)
        )
        written = [path for path, _ in job.outputs] if job.photograph in anew else []
        # All others may be of another program, or of a photograph of that name.
        own = [
            path
            for path in (*name, *other)
            if path not in written and _is_of(path, job.photograph)
        ]
        replaced[job.photograph] = [*written, *own]
    return replaced


def _outdated(
    jobs: list[SegmentJob],
    ready: list[SegmentJob],
    found: FoundPhotographs,
    output: pathlib.Path,
) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Return the files of this command that were made before a photograph changed.

    Overlays of any opacity: none would be right beside the new label map.
    """
    none: dict[pathlib.Path, list[pathlib.Path]] = {job.photograph: [] for job in jobs}
    return none | {
        job.photograph: [
            path
            for names in (found.names, found.other_names)
            for path in _paths(output, names[job.photograph])
            if _is_outdated(path, job.origin)
        ]
        for job in ready
    }


def _is_outdated(path: pathlib.Path, now: Origin) -> bool:
    then = read_origin(path) if os.path.isfile(path) else None
    if then is None or then.get(_FINGERPRINT) == now[_FINGERPRINT]:
        return False
    changing = (_FINGERPRINT, "opacity")
    return _without(then, *changing) == _without(now, *changing)


def _without(origin: Origin, *names: str) -> Origin:
    return {name: x for name, x in origin.items() if name not in names}


def _is_of(path: pathlib.Path, photograph: pathlib.Path) -> bool:
    """Return whether a file is a label map or an overlay of a photograph."""
    origin = read_origin(path) if os.path.isfile(path) else None
    return origin is not None and origin.get("photograph") == _digest(photograph)


def _digest(photograph: pathlib.Path) -> str:
    # Label maps may be published, and paths are private.
    return hashlib.sha256(os.fsencode(photograph.resolve())).hexdigest()[:16]


def _paths(output: pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the paths of the label map and the overlay."""
    return output_path(output, name, ".png"), output_path(output, name, "_overlay.jpg")


def _job(
    photograph: pathlib.Path,
    name: str,
    output: pathlib.Path,
    provenance: Mapping[str, Any],
    opacity: float | None,
) -> SegmentJob:
    origin = {
        **provenance,
        "photograph": _digest(photograph),
        _FINGERPRINT: file_fingerprint(photograph),
    }
    label_map, overlay = _paths(output, name)
    return SegmentJob(
        photograph,
        label_map=label_map,
        overlay=None if opacity is None else overlay,
        origin=origin,
        overlay_origin={**origin, "opacity": opacity},
    )


def _check_own(jobs: list[SegmentJob]) -> None:
    """Raise if files to write exist that are not of the same photographs and options.

    Those of before a photograph was changed are its own.
    """
    others = [
        (path, then, now)
        for job in jobs
        for path, now in job.outputs
        if os.path.exists(path)
        for then in [read_origin(path)]
        if then is None or _without(then, _FINGERPRINT) != _without(now, _FINGERPRINT)
    ]
    if others:
        path, then, now = others[0]
        raise RefusedError(
            "`output` must not hold label maps or overlays of other photographs, "
            "networks or options, or other files of their names, got "
            f"{str(path)!r} ({_changes(then, now)}) and "
            f"{counted(len(others) - 1, 'other')}; --overwrite writes over them."
        )


def _changes(then: Origin | None, now: Origin) -> str:
    if then is None:
        return "of another program"
    names = [
        name
        for name in _without({**now, **then}, _FINGERPRINT)
        if then.get(name) != now.get(name)
    ]
    return "; ".join(f"{x} {_shown(then, x)}, now {_shown(now, x)}" for x in names)


def _shown(origin: Origin, name: str) -> str:
    return repr(origin[name]) if name in origin else "by default"
