"""Instance masks of polygons and boxes, as run-length codes.

pycocotools writes outside its memory for polygons that are not finite: only checked
ones may reach it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from carafe_jax.run_length_codes import RLE, mask_tools, runs_to_rle


def polygons_to_rle(
    polygons: Sequence[Float64[np.ndarray, "_"]], size: tuple[int, int]
) -> RLE:
    """Return the mask of the union of polygons.

    Args:
      polygons: x and y of the corners in turn, finite and near the photograph.
      size: Height and width of the mask.
    """
    tools = mask_tools()
    parts = tools.frPyObjects([polygon.tolist() for polygon in polygons], *size)
    merged = parts[0] if len(parts) == 1 else tools.merge(parts)
    return RLE(size=[*size], counts=merged["counts"])


def box_to_rle(box: Float64[np.ndarray, "4"], size: tuple[int, int]) -> RLE:
    """Return the mask of a box, of at least a pixel.

    Args:
      box: x1, y1, x2, y2, overlapping the photograph.
      size: Height and width of the mask.
    """
    height, width = size
    left, top = np.floor(np.clip(box[:2], 0, (width - 1, height - 1))).astype(int)
    right, bottom = np.ceil(np.clip(box[2:], (1, 1), (width, height))).astype(int)
    covered = int(max(bottom - top, 1))
    columns = int(max(right - left, 1))
    # Down the columns: from the first covered pixel to the last.
    before, gap = int(left) * height + int(top), height - covered
    covered_runs = [covered, gap] * (columns - 1) + [covered]
    runs = [before, *(covered_runs if gap else [sum(covered_runs)])]
    runs.append(height * width - sum(runs))
    encoded = runs_to_rle(runs if runs[-1] else runs[:-1], size)
    assert encoded is not None, "The runs fill the mask."
    return encoded
