"""The names of a run's classes, in the run's folder."""

import json
import pathlib

from carafe_jax.errors import RefusedError

_NAME = "classes.json"


def write_classes(workdir: pathlib.Path, classes: tuple[str, ...]) -> None:
    """Write the names of the classes, by label."""
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / _NAME).write_text(json.dumps(classes, indent=0) + "\n")


def read_classes(workdir: pathlib.Path) -> tuple[str, ...]:
    """Return what `write_classes` wrote.

    Raises:
      RefusedError: The folder has no such file.
    """
    path = workdir / _NAME
    if not path.exists():
        raise RefusedError(
            f"`model` must be the folder of a classification run, with {_NAME}, got "
            f"{str(workdir)!r}."
        )
    return tuple(json.loads(path.read_text()))
