"""Class names of a run, stored in its folder."""

from typing import Any

from carafe_jax.tasks.run_classes import ClassesFile


def _parsed(entries: Any) -> tuple[str, ...]:
    if not all(isinstance(name, str) for name in entries):
        raise TypeError("A name is no text.")
    return tuple(entries)


CLASSES_FILE = ClassesFile[tuple[str, ...]](
    task="classification",
    name="classes.json",
    form="names",
    entries=lambda names: names,
    parse=_parsed,
    identities=lambda names: names,
)
"""Names by label."""
