"""Names and colours of a run's classes, stored in its folder."""

from typing import Any, NamedTuple

from carafe_jax.tasks.run_classes import ClassesFile


class LabelClasses(NamedTuple):
    """Classes of a segmentation network, in the order of their labels."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    """RGB colour of each class in pictures."""


def _entries(classes: LabelClasses) -> list[dict[str, Any]]:
    return [
        {"name": name, "colour": colour} for name, colour in zip(*classes, strict=True)
    ]


def _parsed(entries: Any) -> LabelClasses:
    palette: list[tuple[int, int, int]] = []
    for each in entries:
        red, green, blue = map(int, each["colour"])
        palette.append((red, green, blue))
    return LabelClasses(tuple(str(each["name"]) for each in entries), tuple(palette))


LABEL_CLASSES_FILE = ClassesFile[LabelClasses](
    task="segmentation",
    name="label_classes.json",
    form="objects with `name` and `colour`",
    entries=_entries,
    parse=_parsed,
    identities=lambda classes: classes.names,
)
"""Names and colours, of which the names alone must be unchanged."""
