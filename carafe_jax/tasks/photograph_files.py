"""Photographs in files and folders, and the paths of what is written for them."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from carafe_jax.data import list_images
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder, check_new
from carafe_jax.texts import counted


class FoundPhotographs(NamedTuple):
    """Photographs to work on."""

    names: dict[pathlib.Path, str]
    """Names by photograph: the path within the folder that was given, after the
    folder's name where several paths were given."""
    other_names: dict[pathlib.Path, str]
    """Names of the same photographs if one path instead of several were given, or
    several instead of one."""
    inside_output: int
    """Number of images in the output folder that the search of a folder found; they are
    no photographs."""


def find_photographs(
    given: Sequence[pathlib.Path], *, output: pathlib.Path
) -> FoundPhotographs:
    """Find the photographs in files and folders.

    Args:
      given: Image files and folders, which are searched recursively. A photograph that
        is given twice counts once.
      output: Folder to write to.

    Raises:
      RefusedError: A path does not exist or has no images; or the output cannot be
        written, is a folder of photographs, or holds a given file or all images.
    """
    check_folder("output", output)
    within = output.resolve()
    rule = (
        "`output` must be another folder than that of the photographs, got "
        f"{str(output)!r}"
    )
    for path in given:
        if path.is_dir() and path.resolve() == within:
            raise RefusedError(f"{rule}.")
        if os.path.isfile(path) and within in path.resolve().parents:
            raise RefusedError(f"{rule}, which holds {str(path)!r}.")
    found: dict[pathlib.Path, tuple[pathlib.Path, str, str]] = {}
    left_out: list[pathlib.Path] = []
    for photograph, name, other in _names(given):
        real = photograph.resolve()
        if within in real.parents:
            left_out.append(photograph)
        else:
            found.setdefault(real, (photograph, name, other))
    if left_out and not found:
        raise RefusedError(
            f"{rule}, which holds all of them, such as {str(left_out[0])!r}."
        )
    return FoundPhotographs(
        {photograph: name for photograph, name, _ in found.values()},
        {photograph: other for photograph, _, other in found.values()},
        len(left_out),
    )


def file_fingerprint(photograph: pathlib.Path) -> str:
    """Return the size in bytes and the time of change in ns of a photograph's file.

    A command records it with its result, before it reads the photograph: a file that
    was replaced since has another one, and so has one that was touched. It is empty for
    a file that cannot be accessed.
    """
    try:
        status = photograph.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def output_path(output: pathlib.Path, name: str, ending: str) -> pathlib.Path:
    """Return the path of a file for a photograph: its name with another ending."""
    stem = pathlib.PurePath(name).with_suffix("")
    return output / stem.with_name(f"{stem.name}{ending}")


def delete_outputs(outputs: Mapping[pathlib.Path, Sequence[pathlib.Path]]) -> None:
    """Delete the existing files of photographs, so that none is taken for finished.

    Photographs, folders, and files that may not be written to are kept.

    Args:
      outputs: Paths of files, which need not exist, by photograph.
    """
    photographs = {photograph.resolve() for photograph in outputs}
    for paths in outputs.values():
        for path in paths:
            if _may_be_written(path) and path.resolve() not in photographs:
                path.unlink(missing_ok=True)


def equal_outputs(
    outputs: Mapping[pathlib.Path, pathlib.Path], *, kind: str
) -> dict[pathlib.Path, str]:
    """Return the photographs whose outputs would have the same path, with the reason.

    Args:
      outputs: Paths to write to, by photograph.
      kind: What is written, such as "picture".
    """
    by_output: dict[pathlib.Path, list[pathlib.Path]] = {}
    for photograph, path in outputs.items():
        by_output.setdefault(path, []).append(photograph)
    return {
        photograph: (
            f"its {kind} would be {path}, like that of "
            f"{counted(len(same) - 1, 'other photograph')}"
        )
        for path, same in by_output.items()
        if len(same) > 1
        for photograph in same
    }


def with_path(photograph: pathlib.Path, reason: str) -> str:
    """Return the reason of a failure, with the path of its photograph."""
    # Quoted: the path of an output may end with that of its photograph.
    named = repr(str(photograph)) in reason
    return reason if named else f"{photograph}: {reason}"


def _names(given: Sequence[pathlib.Path]) -> Iterator[tuple[pathlib.Path, str, str]]:
    """Yield each photograph, its name, and its name with another number of paths."""
    for path in given:
        folder = path if path.is_dir() else path.parent
        # The names of several folders tell apart photographs of the same names.
        prefix = path.resolve().name if path.is_dir() else ""
        for photograph in list_images(path, argument="photographs"):
            alone = photograph.relative_to(folder)
            names = alone.as_posix(), (prefix / alone).as_posix()
            name, other = names if len(given) == 1 else names[::-1]
            yield photograph, name, other


def _may_be_written(path: pathlib.Path) -> bool:
    try:
        check_new("output", path, overwrite=True)
    except RefusedError:
        return False
    return True
