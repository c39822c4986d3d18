"""Masks of the annotations of a COCO file."""

import numpy as np
from jaxtyping import Float64

from carafe_jax.data.sources.coco.columns import (
    BAD_RUN_LENGTHS,
    POLYGONS,
    RUN_LENGTHS,
    AnnotationColumns,
)
from carafe_jax.data.sources.object_columns import ObjectColumns
from carafe_jax.data.sources.object_table import mask_of
from carafe_jax.data.sources.treatments import (
    BAD_POLYGON,
    BAD_RUNS,
    FLAT_POLYGON,
    OTHER_SIZE,
)
from carafe_jax.run_length_codes import RLE, are_valid_counts, mask_tools

# Corners this many sides of the image away are a mistake, and would need much memory.
_FARTHEST = 10


class MaskReader:
    """Polygons and run lengths of a file; `check` chooses the valid ones."""

    def __init__(self, columns: AnnotationColumns) -> None:
        """Store the columns of the file."""
        self._columns = columns
        self._runs = np.frombuffer(columns.runs, np.uint8)
        self._corners = columns.column("corners").astype(np.float64, copy=False)
        self._polygons = np.zeros((0, 2), np.int64)

    def check(self, objects: ObjectColumns) -> None:
        """Add the columns `masked`, `run_bounds` and `polygon_bounds`.

        An object whose mask is not valid is not `masked`.

        Args:
          objects: Columns `row` (of the file) and `size` (of the image).
        """
        rows, column = objects["row"], self._columns.column
        kind = column("mask_kinds")[rows]
        objects.report(FLAT_POLYGON, column("is_flat")[rows] != 0)
        objects["masked"] = np.zeros(len(rows), bool)
        self._check_polygons(objects, kind == POLYGONS)
        self._check_runs(objects, kind)

    def arrays(self, objects: ObjectColumns) -> dict[str, np.ndarray]:
        """Return the columns of masks of `ObjectTable.of`."""
        return {
            "run_bounds": objects["run_bounds"],
            "polygon_bounds": objects["polygon_bounds"],
            "polygons": self._polygons,
            "corners": self._corners,
            "runs": self._runs,
        }

    def area(self, objects: ObjectColumns, row: int) -> float:
        """Return the number of pixels of a mask."""
        return float(mask_tools().area(self._mask(objects, row)))

    def box(self, objects: ObjectColumns, row: int) -> Float64[np.ndarray, "4"]:
        """Return the box around a mask: x, y, width, height."""
        return mask_tools().toBbox(self._mask(objects, row))

    def _mask(self, objects: ObjectColumns, row: int) -> RLE:
        height, width = objects["size"][row].tolist()
        arrays = {"masked": objects["masked"], **self.arrays(objects)}
        return mask_of(arrays, row, (height, width))

    def _check_polygons(self, objects: ObjectColumns, is_polygons: np.ndarray) -> None:
        rows, column = objects["row"], self._columns.column
        ends, part_ends = column("corner_ends"), column("part_ends")
        starts = np.append(0, ends[:-1])[: len(ends)]
        bounds = np.stack(
            [np.append(0, part_ends[:-1])[: len(part_ends)], part_ends], 1
        )
        # The limit of each polygon; those of dropped rows have none.
        limits = np.zeros(len(part_ends))
        limits[rows] = _FARTHEST * objects["size"].max(1)
        limit = np.repeat(limits, np.diff(bounds).ravel())
        valid = np.zeros(len(ends), bool)
        if len(ends):
            # Comparisons with NaN are false.
            high = np.maximum.reduceat(self._corners, starts)
            valid = (np.minimum.reduceat(self._corners, starts) > -limit) & (
                high < limit
            )
        number = np.append(0, np.cumsum(valid))
        self._polygons = np.stack([starts, ends], 1)[valid].astype(np.int64)
        bounds = bounds[rows].astype(np.int64)
        objects["polygon_bounds"] = number[bounds]
        counts = np.diff(objects["polygon_bounds"]).ravel()
        objects["masked"] |= is_polygons & (counts > 0)
        bad = column("bad_parts")[rows] + np.diff(bounds).ravel() - counts
        objects.report(BAD_POLYGON, bad > 0, counts=bad)

    def _check_runs(self, objects: ObjectColumns, kind: np.ndarray) -> None:
        rows, column = objects["row"], self._columns.column
        ends = column("run_ends").astype(np.int64)
        sizes = column("mask_sizes").reshape(-1, 2)
        offsets = np.append(0, ends)
        objects["run_bounds"] = np.stack([offsets[:-1], ends], 1)[rows]
        valid = are_valid_counts(self._runs, offsets, sizes.prod(1))[rows]
        is_runs = kind == RUN_LENGTHS
        objects.report(BAD_RUNS, (is_runs & ~valid) | (kind == BAD_RUN_LENGTHS))
        other = is_runs & valid & (sizes[rows] != objects["size"]).any(1)
        objects.report(OTHER_SIZE, other)
        objects["masked"] |= is_runs & valid & ~other
