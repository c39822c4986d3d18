"""Classes of a COCO annotation file, matched by name to those of training."""

import collections
import dataclasses
from collections.abc import Collection, Sequence

from carafe_jax.data.sources.coco.annotation_file import AnnotationFile
from carafe_jax.data.sources.coco.columns import whole
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.treatments import REPEATED_CATEGORY


@dataclasses.dataclass(frozen=True)
class Categories:
    """Classes, and their ids in one annotation file."""

    classes: tuple[str, ...]
    ids: tuple[int, ...]
    """Id of each class; one that the file does not use where the file lacks it."""


def match_categories(
    file: AnnotationFile,
    *,
    used: Collection[int],
    classes: Sequence[str] | None,
    findings: Findings,
) -> Categories:
    """Return the classes of a file.

    Args:
      file: Annotation file.
      used: Category ids that its annotations have.
      classes: Classes of the training set, by whose names those of the file are
        matched. None: the categories of the file, in ascending order of their ids.
      findings: What is found is added.

    Raises:
      RefusedError: A category is invalid, or has objects and is not in `classes`.
    """
    names = _names(file)
    ids = _ids(file, names, used, findings)
    if not ids:
        raise file.error("`categories`", "must hold at least one, got none")
    if classes is None:
        return Categories(tuple(ids), tuple(ids.values()))
    strange = [name for name, id_ in ids.items() if id_ in used and name not in classes]
    if strange:
        raise file.error(
            "`categories`",
            f"must be classes of the training set ({_listed(classes)}) where they have "
            f"objects, got {_listed(strange)}",
        )
    free = max(0, *names) + 1
    found: list[int] = []
    for name in classes:
        found.append(ids.get(name, free))
        free += name not in ids
    return Categories(tuple(classes), tuple(found))


def _names(file: AnnotationFile) -> dict[int, str]:
    """Return the names of the categories by their ids, in ascending order."""
    names: dict[int, str] = {}
    for place, entry in enumerate(file.categories):
        what, number, name = f"categories[{place}]", entry.get("id"), entry.get("name")
        id_ = whole(number)
        if id_ is None:
            raise file.error(what, f"`id` must be an integer, got {number!r}")
        if not isinstance(name, str):
            raise file.error(what, f"`name` must be a string, got {name!r}")
        if not name.strip():
            rule = f"`name` must not be blank, got {name!r}"
            raise file.error(f"category {id_}", rule)
        if id_ in names:
            raise file.error(
                f"category {id_}",
                f"its id must be its own, got {names[id_]!r} and {name!r}",
            )
        names[id_] = name
    return dict(sorted(names.items()))


def _ids(
    file: AnnotationFile,
    names: dict[int, str],
    used: Collection[int],
    findings: Findings,
) -> dict[str, int]:
    """Return the ids of the categories by their names, which are unique."""
    of_name: dict[str, list[int]] = collections.defaultdict(list)
    for id_, name in names.items():
        of_name[name].append(id_)
    chosen: dict[int, str] = {}
    for name, ids in of_name.items():
        with_objects = [id_ for id_ in ids if id_ in used]
        if len(with_objects) > 1:
            raise file.error(
                "`categories`",
                "two with objects must not have one name, got the ids "
                f"{', '.join(map(str, with_objects))} with {name!r}",
            )
        keep = (with_objects or ids)[0]
        chosen[keep] = name
        examples = [f"{name} ({id_})" for id_ in ids if id_ != keep]
        findings.add(REPEATED_CATEGORY, examples, count=len(examples))
    return {chosen[id_]: id_ for id_ in names if id_ in chosen}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return f"{shown}, ..." if len(names) > 10 else shown
