"""Parsing of a COCO annotation file."""

import contextlib
import dataclasses
import gc
import json
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from carafe_jax.data.sources.coco.columns import AnnotationColumns, Row
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable

_LOGGER = logging.getLogger(__name__)
_LARGE_BYTES = 50_000_000
_OF_ANNOTATIONS = ("category_id", "bbox", "segmentation")
_OF_IMAGES = ("id", "file_name", "height", "width")


@dataclasses.dataclass
class AnnotationFile:
    """The three lists of a COCO annotation file."""

    path: pathlib.Path
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    columns: AnnotationColumns
    rows: np.ndarray
    """Rows of the annotations in the columns, in the order of the list."""

    def error(self, what: str, rule: str) -> RefusedError:
        """Return an error that names the file.

        Args:
          what: Place or id in the file, such as "image 7".
          rule: Rule that is broken, and the value.
        """
        return RefusedError(f"{printable(repr(str(self.path)))}: {what}: {rule}.")


def read_annotation_file(path: pathlib.Path) -> AnnotationFile:
    """Parse a COCO annotation file.

    Args:
      path: JSON file with the lists `images`, `annotations` and `categories`.

    Raises:
      RefusedError: The file has not this form, or an annotation has no valid
        `image_id`, `category_id`, `bbox` or `iscrowd`.
      MissingExtraError: It has masks of run lengths that are not compressed, and
        pycocotools is not installed.
    """
    columns = AnnotationColumns()

    def shrink(entry: dict[str, Any]) -> Any:
        if "image_id" in entry and any(key in entry for key in _OF_ANNOTATIONS):
            return columns.add(entry)
        if "file_name" in entry:
            return {key: entry[key] for key in _OF_IMAGES if key in entry}
        return entry

    content = _parse(path, shrink)
    file = AnnotationFile(path, [], [], columns, np.zeros(0, np.int64))
    file.images = _entries(file, content, "images")
    file.categories = _entries(file, content, "categories")
    annotations = _list(file, content, "annotations")
    for place, entry in enumerate(annotations):
        if not isinstance(entry, Row):
            raise file.error(
                f"annotations[{place}]",
                "must be an object with `image_id` and `category_id`, got "
                f"{_shortened(entry)}",
            )
    file.rows = np.fromiter(annotations, np.int64, len(annotations))
    if columns.errors:
        for row in file.rows.tolist():
            if message := columns.errors.get(row):
                raise file.error(f"annotation {columns.ids[row]}", message)
    return file


def read_categories(path: pathlib.Path) -> AnnotationFile:
    """Parse a COCO annotation file, and keep its categories alone.

    Raises:
      RefusedError: The file has not the form of `read_annotation_file`.
    """
    content = _parse(path, lambda entry: None if "image_id" in entry else entry)
    columns = AnnotationColumns()
    file = AnnotationFile(path, [], [], columns, np.zeros(0, np.int64))
    file.categories = _entries(file, content, "categories")
    return file


def _parse(path: pathlib.Path, hook: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    shown = printable(repr(str(path)))
    if path.stat().st_size > _LARGE_BYTES:
        _LOGGER.info("Reading the annotations in %s.", shown)
    try:
        text = path.read_text(encoding="utf-8-sig")
        with _without_garbage_collection():
            content = json.loads(text, object_hook=hook)
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{shown} must be a text in UTF-8, got the byte "
            f"{error.object[error.start]:#04x} at {error.start}."
        ) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise RefusedError(f"{shown} must be valid JSON, got: {error}.") from error
    if not isinstance(content, dict):
        raise RefusedError(
            f"{shown} must hold a JSON object with `images`, `annotations` and "
            f"`categories`, got {_shortened(content)}."
        )
    return content


def _list(file: AnnotationFile, content: dict[str, Any], name: str) -> list[Any]:
    entries = content.get(name)
    if not isinstance(entries, list):
        got = _shortened(entries) if name in content else f"the keys {[*content]}"
        raise file.error(f"`{name}`", f"must be a list, got {got}")
    return entries


def _entries(
    file: AnnotationFile, content: dict[str, Any], name: str
) -> list[dict[str, Any]]:
    entries = _list(file, content, name)
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            got = _shortened(entry)
            raise file.error(f"{name}[{place}]", f"must be an object, got {got}")
    return entries


def _shortened(value: Any) -> str:
    if isinstance(value, Row):
        return "an annotation"
    text = printable(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the collector, which would visit millions of new objects repeatedly."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
