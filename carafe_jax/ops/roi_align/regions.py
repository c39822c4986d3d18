"""Regions of a pyramid whose levels are joined into one list of cells."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carafe_jax.ops.roi_align.samples import Axis, axis_of, first_and_last_cell

T = TypeVar("T")


class Spec(NamedTuple):
    """Sizes of the pooled maps, samples, and how the cells are read.

    Attributes:
      output_size: Bins along each axis.
      sampling_ratio: Samples of a bin along each axis; None: ceil(bin size in cells).
      window: Side of the windows that regions are read in, in cells. Regions of
        ordinary shape are at most 30 cells high and wide, except on the last level.
      block: Regions whose windows are read at once, of all images together. Neighbours
        in a small block need about as many windows as each other.
    """

    output_size: tuple[int, int]
    sampling_ratio: int | None = None
    window: int = 32
    block: int = 16


class Regions(NamedTuple):
    """Where regions are in the list of cells.

    Attributes:
      rows: Their bins along the rows of their level.
      columns: Likewise along the columns.
      cell: First cell of the level in the list.
      first_row: First row that can have a weight.
      first_column: Likewise.
      windows: Windows that cover them, along the rows and along the columns; 0 for
        regions that are not valid.
    """

    rows: Axis
    columns: Axis
    cell: Int[Array, "*b"]
    first_row: Int[Array, "*b"]
    first_column: Int[Array, "*b"]
    windows: Int[Array, "*b 2"]


def join_levels(
    pyramid: Sequence[Float[Array, "n _ _ c"]], *, window: int
) -> Float[Array, "n cells c"]:
    """Join the cells of all levels, with zeros for a window that starts at the last."""
    n, _, _, c = pyramid[0].shape
    cells = [level.reshape(n, -1, c) for level in pyramid]
    return jnp.concatenate([*cells, jnp.zeros((n, window, c), cells[0].dtype)], axis=1)


def locate(
    boxes: Float[Array, "*b 4"],
    valid: Bool[Array, "*b"],
    levels: Int[Array, "*b"],
    *,
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    spec: Spec,
) -> Regions:
    """Return the regions of boxes in a pyramid of the given sizes and strides."""
    cells = np.cumsum([0, *(h * w for h, w in sizes)], dtype=np.int32)
    heights, widths = np.asarray(sizes, np.int32).T
    scale = jnp.take(jnp.asarray(1 / np.asarray(strides), boxes.dtype), levels)

    def along(axis: int, lengths: np.ndarray) -> Axis:
        found = axis_of(
            boxes[..., 1 - axis],
            boxes[..., 3 - axis],
            scale=scale,
            length=jnp.take(jnp.asarray(lengths), levels),
            bins=spec.output_size[axis],
            sampling_ratio=spec.sampling_ratio,
        )
        return found._replace(samples=jnp.where(valid, found.samples, 0))

    rows, columns = along(0, heights), along(1, widths)
    first_row, last_row = first_and_last_cell(rows)
    first_column, last_column = first_and_last_cell(columns)
    spans = jnp.stack([last_row - first_row, last_column - first_column], axis=-1)
    return Regions(
        rows=rows,
        columns=columns,
        cell=jnp.take(jnp.asarray(cells[:-1]), levels),
        first_row=first_row,
        first_column=first_column,
        windows=jnp.where(valid[..., None], spans // spec.window + 1, 0),
    )


def order_by_windows(regions: Regions) -> Int[Array, "n r"]:
    """Return the order in which regions of like shape are neighbours."""
    high, wide = regions.windows[..., 0], regions.windows[..., 1]
    return jnp.argsort(high * 2**15 + wide, axis=-1)


def take_regions(regions: T, order: Int[Array, "n r"]) -> T:
    """Return what regions have, an array or a tree of them, in another order."""

    def take(x: Array) -> Array:
        index = order.reshape(*order.shape, *(1,) * (x.ndim - 2))
        return jnp.take_along_axis(x, index, axis=1)

    return jax.tree.map(take, regions)
