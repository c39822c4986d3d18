"""Photographs in files and folders, and the paths of what is written for them."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from carafe_jax.data import list_images
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder
from carafe_jax.texts import counted


class FoundPhotographs(NamedTuple):
    """Photographs to work on."""

    names: dict[pathlib.Path, str]
    """Names by photograph: the path within the folder that was given, after the
    folder's name where several paths were given."""
    other_names: dict[pathlib.Path, str]
    """Names that the photographs have where their path is given alone, or no longer
    alone."""
    inside_output: int
    """Number of images in the output folder, which are no photographs."""


def find_photographs(
    given: Sequence[pathlib.Path], *, output: pathlib.Path
) -> FoundPhotographs:
    """Find the photographs in files and folders.

    Args:
      given: Image files and folders, which are searched recursively. A photograph that
        is given twice counts once.
      output: Folder to write to.

    Raises:
      RefusedError: A path does not exist or has no images, or the output cannot be
        written or is a folder of photographs.
    """
    check_folder("output", output)
    within, inside = output.resolve(), 0
    if any(path.is_dir() and path.resolve() == within for path in given):
        raise RefusedError(
            "`output` must be another folder than that of the photographs, got "
            f"{str(output)!r}."
        )
    found: dict[pathlib.Path, tuple[pathlib.Path, str, str]] = {}
    for photograph, name, other in _names(given):
        real = photograph.resolve()
        if within in real.parents:
            inside += 1
        else:
            found.setdefault(real, (photograph, name, other))
    return FoundPhotographs(
        {photograph: name for photograph, name, _ in found.values()},
        {photograph: other for photograph, _, other in found.values()},
        inside,
    )


def output_path(output: pathlib.Path, name: str, ending: str) -> pathlib.Path:
    """Return the path of a file for a photograph: its name with another ending."""
    stem = pathlib.PurePath(name).with_suffix("")
    return output / stem.with_name(f"{stem.name}{ending}")


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
