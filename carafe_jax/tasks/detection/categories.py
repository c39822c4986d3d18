"""Names and ids of a run's classes, stored in its folder as COCO has them."""

import json
import pathlib
from typing import Any, NamedTuple

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.texts import counted, printable
from carafe_jax.train import has_checkpoints, is_first

_NAME = "categories.json"


class Categories(NamedTuple):
    """Classes of a detector, in the order of their labels."""

    names: tuple[str, ...]
    ids: tuple[int, ...]
    """Ids in the annotations, which need not be consecutive."""

    def as_coco(self) -> list[dict[str, Any]]:
        """Return the entry `categories` of a COCO file."""
        return [
            {"id": own, "name": name}
            for name, own in zip(self.names, self.ids, strict=True)
        ]


def claim_categories(workdir: pathlib.Path, categories: Categories) -> None:
    """Write the classes of a new run; raise if a resumed run has others.

    Args:
      workdir: Folder of the run.
      categories: Classes of its data.

    Raises:
      RefusedError: The folder holds checkpoints of a run with other classes.
    """
    resumes = has_checkpoints(workdir) and (workdir / _NAME).exists()
    if resumes and (known := read_categories(workdir)) != categories:
        raise RefusedError(
            f"`data.source` must have the {_described(known)} of the run, got "
            f"{_described(categories)}."
        )
    if is_first() and not resumes:
        text = json.dumps(categories.as_coco(), indent=0) + "\n"
        with write_atomically(workdir / _NAME) as partial:
            partial.write_text(text)


def read_categories(workdir: pathlib.Path) -> Categories:
    """Return the classes of a run.

    Raises:
      RefusedError: The folder has no file of classes, or one that is damaged.
    """
    path = workdir / _NAME
    if not path.exists():
        raise RefusedError(
            f"`model` must be the folder of a detection run, with {_NAME}, got "
            f"{str(workdir)!r}."
        )
    try:
        found = json.loads(path.read_bytes())
        return Categories(
            tuple(str(each["name"]) for each in found),
            tuple(int(each["id"]) for each in found),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError(
            f"{path} is damaged: it must be a list of objects with `id` and `name`. "
            "Delete it and resume the run, which then writes it again."
        ) from error


def _described(categories: Categories) -> str:
    """Return the number of classes, with the first of them."""
    pairs = zip(categories.ids[:3], categories.names[:3], strict=True)
    shown = ", ".join(f"{own} {printable(name)}" for own, name in pairs)
    more = ", ..." if len(categories.names) > 3 else ""
    return f"{counted(len(categories.names), 'class', 'classes')} ({shown}{more})"
