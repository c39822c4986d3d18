"""Class names of a run, stored in its folder."""

import json
import pathlib

from carafe_jax.errors import RefusedError
from carafe_jax.texts import counted, printable
from carafe_jax.train import has_checkpoints, is_first

_NAME = "classes.json"


def claim_classes(workdir: pathlib.Path, classes: tuple[str, ...]) -> None:
    """Write the class names of a new run; raise if a resumed run has others.

    Args:
      workdir: Folder of the run.
      classes: Names by label.

    Raises:
      RefusedError: The folder holds checkpoints of a run with other classes.
    """
    resumes = has_checkpoints(workdir)
    if resumes and (known := read_classes(workdir)) != classes:
        raise RefusedError(
            f"`data.source` must have the {counted(len(known), 'class', 'classes')} "
            f"of the run, {some(known)}, got {len(classes)}: {some(classes)}."
        )
    if is_first() and not resumes:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / _NAME).write_text(json.dumps(classes, indent=0) + "\n")


def read_classes(workdir: pathlib.Path) -> tuple[str, ...]:
    """Return the class names of a run, by label.

    Raises:
      RefusedError: The folder has no file of class names.
    """
    path = workdir / _NAME
    if not path.exists():
        raise RefusedError(
            f"`model` must be the folder of a classification run, with {_NAME}, got "
            f"{str(workdir)!r}."
        )
    return tuple(json.loads(path.read_text()))


def some(names: tuple[str, ...]) -> str:
    """Return the first three names, in one text."""
    return ", ".join(map(printable, names[:3])) + (", ..." if len(names) > 3 else "")
