"""Annotations of a COCO file as columns of numbers, filled while the file is parsed.

A dict for each annotation of COCO's training file takes gigabytes.
"""

import array
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from carafe_jax.run_length_codes import MOST_PIXELS, runs_to_rle

NO_MASK, POLYGONS, RUN_LENGTHS, BAD_RUN_LENGTHS = range(4)
NO_ID = -1
_LARGEST = 2.0**30
_DTYPES = {"b": np.int8, "d": np.float64, "q": np.int64}
_CROWDS = (None, 0, 1)


class Row(int):
    """Number of the row of an annotation that was parsed."""


class AnnotationColumns:
    """Annotations in the order of the file; a missing number is NaN.

    What is wrong with an annotation is stored, not raised: while a file is parsed, it
    is not known what the annotation belongs to.
    """

    def __init__(self) -> None:
        """Start without annotations."""
        self.errors: dict[int, str] = {}
        """Description of what is wrong with an annotation, by its row."""
        self.ids = array.array("q")
        self.image_ids = array.array("q")
        self.category_ids = array.array("q")
        self.boxes = array.array("d")  # x, y, width, height.
        self.areas = array.array("d")
        self.crowd = array.array("b")
        self.ignore = array.array("b")
        self.has_crowd_key = array.array("b")
        self.mask_kinds = array.array("b")
        self.mask_sizes = array.array("q")  # Height, width.
        self.is_flat = array.array("b")
        self.bad_parts = array.array("q")
        self.part_ends = array.array("q")  # Of each row, in `corner_ends`.
        self.corner_ends = array.array("q")  # Of each polygon, in `corners`.
        self.corners = array.array("d")
        self.run_ends = array.array("q")  # Of each row, in `runs`.
        self.runs = bytearray()

    def add(self, entry: dict[str, Any]) -> Row:
        """Append an annotation; return its row."""
        row = Row(len(self.ids))
        number = whole(entry.get("id"))
        self.ids.append(NO_ID if number is None or number < 0 else number)
        self.image_ids.append(self._reference(entry, "image_id", row))
        self.category_ids.append(self._reference(entry, "category_id", row))
        self.boxes.extend(self._box(entry.get("bbox"), row))
        area: Any = entry.get("area")
        is_area = _is_number(area) and 0 < area < math.inf
        self.areas.append(area if is_area else math.nan)
        crowd = entry.get("iscrowd")
        if crowd not in _CROWDS:
            self.errors.setdefault(row, f"`iscrowd` must be 0 or 1, got {crowd!r}")
        self.crowd.append(crowd == 1)
        self.has_crowd_key.append(crowd is not None)
        self.ignore.append(entry.get("ignore") in (1, True))
        self._add_mask(entry.get("segmentation"))
        return row

    def column(self, name: str) -> np.ndarray:
        """Return a column as an array that shares its memory."""
        column: array.array[Any] = getattr(self, name)
        dtype = _DTYPES[column.typecode]
        return np.frombuffer(column, dtype) if column else np.zeros(0, dtype)

    def _reference(self, entry: dict[str, Any], name: str, row: Row) -> int:
        number = whole(entry.get(name))
        if number is None:
            got = repr(entry[name]) if name in entry else "none"
            self.errors.setdefault(row, f"`{name}` must be an integer, got {got}")
            return NO_ID
        return number

    def _box(self, box: Any, row: Row) -> Sequence[int | float]:
        if box is None or box == []:
            return (math.nan,) * 4
        if (
            isinstance(box, list)
            and len(box) == 4
            and all(_is_number(x) and -_LARGEST < x < _LARGEST for x in box)
        ):
            return box
        self.errors.setdefault(row, f"`bbox` must be four finite numbers, got {box!r}")
        return (math.nan,) * 4

    def _add_mask(self, mask: Any) -> None:
        kind, size, flat, bad = NO_MASK, (0, 0), False, 0
        if isinstance(mask, dict) and mask:
            kind, size = self._add_run_lengths(mask)
        elif isinstance(mask, list) and mask:
            flat = _is_number(mask[0])
            bad = self._add_polygons([mask] if flat else mask)
            kind = POLYGONS
        elif mask:
            kind = BAD_RUN_LENGTHS
        self.mask_kinds.append(kind)
        self.mask_sizes.extend(size)
        self.is_flat.append(flat)
        self.bad_parts.append(bad)
        self.part_ends.append(len(self.corner_ends))
        self.run_ends.append(len(self.runs))

    def _add_polygons(self, polygons: list[Any]) -> int:
        """Append the polygons; return the number of those that are not valid."""
        bad = 0
        for polygon in polygons:
            try:
                corners = array.array("d", polygon)
            except (TypeError, OverflowError):
                bad += 1
                continue
            if len(corners) < 6 or len(corners) % 2:
                bad += 1
                continue
            self.corners.extend(corners)
            self.corner_ends.append(len(self.corners))
        return bad

    def _add_run_lengths(self, mask: dict[str, Any]) -> tuple[int, tuple[int, int]]:
        """Append run lengths; return their kind and size."""
        size, counts = mask.get("size"), mask.get("counts")
        if not isinstance(size, list) or len(size) != 2:
            return BAD_RUN_LENGTHS, (0, 0)
        height, width = whole(size[0]), whole(size[1])
        if height is None or width is None or min(height, width) < 1:
            return BAD_RUN_LENGTHS, (0, 0)
        if height * width > MOST_PIXELS:
            return BAD_RUN_LENGTHS, (0, 0)
        if isinstance(counts, list):
            encoded = runs_to_rle(counts, (height, width))
            counts = "" if encoded is None else encoded["counts"].decode("ascii")
        if not isinstance(counts, str) or not counts.isascii() or not counts:
            return BAD_RUN_LENGTHS, (height, width)
        self.runs += counts.encode("ascii")
        return RUN_LENGTHS, (height, width)


def whole(value: Any) -> int | None:
    """Return an integer of 64 bits, of a number without a fraction; else None."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _is_number(value: Any) -> bool:
    return type(value) is float or type(value) is int
