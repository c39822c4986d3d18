"""Names and colours of a run's classes, stored in its folder."""

import json
import pathlib
from typing import NamedTuple

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.texts import counted, printable
from carafe_jax.train import has_checkpoints, is_first

_NAME = "label_classes.json"


class LabelClasses(NamedTuple):
    """Classes of a segmentation network, in the order of their labels."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    """RGB colour of each class in pictures."""


def claim_label_classes(workdir: pathlib.Path, classes: LabelClasses) -> None:
    """Write the classes of a new run; raise if a resumed run has others.

    Args:
      workdir: Folder of the run.
      classes: Classes of its data.

    Raises:
      RefusedError: The folder holds checkpoints of a run with other classes.
    """
    resumes = has_checkpoints(workdir) and (workdir / _NAME).exists()
    if resumes and (known := read_label_classes(workdir)).names != classes.names:
        raise RefusedError(
            f"`data.source` must have the {_described(known)} of the run, got "
            f"{_described(classes)}."
        )
    if is_first() and not resumes:
        stored = [
            {"name": name, "colour": colour}
            for name, colour in zip(*classes, strict=True)
        ]
        with write_atomically(workdir / _NAME) as partial:
            partial.write_text(json.dumps(stored, indent=0) + "\n")


def read_label_classes(workdir: pathlib.Path) -> LabelClasses:
    """Return the classes of a run.

    Raises:
      RefusedError: The folder has no file of classes, or one that is damaged.
    """
    path = workdir / _NAME
    if not path.exists():
        raise RefusedError(
            f"`model` must be the folder of a segmentation run, with {_NAME}, got "
            f"{str(workdir)!r}."
        )
    try:
        found = json.loads(path.read_bytes())
        palette: list[tuple[int, int, int]] = []
        for each in found:
            red, green, blue = map(int, each["colour"])
            palette.append((red, green, blue))
        return LabelClasses(tuple(str(each["name"]) for each in found), tuple(palette))
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError(
            f"{path} is damaged: it must be a list of objects with `name` and `colour`."
            " Delete it and resume the run, which then writes it again."
        ) from error


def _described(classes: LabelClasses) -> str:
    """Return the number of classes, with the first of them."""
    shown = ", ".join(map(printable, classes.names[:3]))
    more = ", ..." if len(classes.names) > 3 else ""
    return f"{counted(len(classes.names), 'class', 'classes')} ({shown}{more})"
