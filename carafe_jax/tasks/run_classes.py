"""Classes of a run, stored in its folder."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.texts import counted, printable
from carafe_jax.train import has_checkpoints, is_first

_SHOWN = 3  # Classes in an error.
Classes = TypeVar("Classes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassesFile(Generic[Classes]):
    """The file that holds the classes of the runs of a task."""

    task: str
    """Name of the task, for errors."""
    name: str
    """Name of the file."""
    form: str
    """Form of an entry, for errors, such as "names"."""
    entries: Callable[[Classes], Sequence[Any]]
    """Function that returns an entry of JSON for each class, by label."""
    parse: Callable[[Any], Classes]
    """Function that returns the classes of such entries. It raises ValueError,
    TypeError or KeyError for others."""
    identities: Callable[[Classes], Sequence[str]]
    """Function that returns the part of each class that a resumed run must find
    unchanged, such as its name."""

    def claim(self, workdir: pathlib.Path, classes: Classes) -> None:
        """Write the classes of a new run; raise if a resumed run has others.

        Args:
          workdir: Folder of the run.
          classes: Classes of its data.

        Raises:
          RefusedError: The folder holds checkpoints of a run with other classes, or a
            file of classes that is damaged.
        """
        path = workdir / self.name
        resumes = has_checkpoints(workdir) and path.exists()
        if resumes:
            known, got = map(self.identities, (self.read(workdir), classes))
            check_same_classes("data.source", got, known)
        elif is_first():
            with write_atomically(path) as partial:
                partial.write_text(json.dumps(self.entries(classes), indent=0) + "\n")

    def read(self, workdir: pathlib.Path, *, argument: str = "model") -> Classes:
        """Return the classes of a run.

        Args:
          workdir: Folder of the run.
          argument: Name of the argument that holds the folder, for errors.

        Raises:
          RefusedError: The folder has no file of classes, or one that is damaged.
        """
        path = workdir / self.name
        if not path.exists():
            raise RefusedError(
                f"`{argument}` must be the folder of a {self.task} run, with "
                f"{self.name}, got {str(workdir)!r}."
            )
        try:
            return self.parse(json.loads(path.read_bytes()))
        except (ValueError, TypeError, KeyError) as error:
            raise RefusedError(
                f"{path} is damaged: it must be a list of {self.form}. Delete it and "
                "resume the run, which then writes it again."
            ) from error


def check_same_classes(
    argument: str, classes: Sequence[str], known: Sequence[str]
) -> None:
    """Raise unless the classes of a source are those of a run, in the same order.

    Args:
      argument: Name of the argument that gives the source.
      classes: Classes of the source.
      known: Classes of the run.

    Raises:
      RefusedError: They differ.
    """
    if [*classes] != [*known]:
        raise RefusedError(
            f"`{argument}` must have the {_described(known)} of the run, got "
            f"{_described(classes)}."
        )


def _described(classes: Sequence[str]) -> str:
    """Return the number of classes, with the first of them."""
    shown = ", ".join(map(printable, classes[:_SHOWN]))
    more = ", ..." if len(classes) > _SHOWN else ""
    return f"{counted(len(classes), 'class', 'classes')} ({shown}{more})"
