"""Names and ids of a run's classes, stored in its folder as COCO has them."""

from typing import Any, NamedTuple

from carafe_jax.tasks.run_classes import ClassesFile


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


def _parsed(entries: Any) -> Categories:
    return Categories(
        tuple(str(each["name"]) for each in entries),
        tuple(int(each["id"]) for each in entries),
    )


CATEGORIES_FILE = ClassesFile[Categories](
    task="detection",
    name="categories.json",
    form="objects with `id` and `name`",
    entries=Categories.as_coco,
    parse=_parsed,
    identities=lambda classes: [
        f"{own} {name}" for own, name in zip(classes.ids, classes.names, strict=True)
    ],
)
"""Names and ids."""
