"""RoIAlign as a loop over samples in float64, and the loop of its transpose."""

import math
from collections.abc import Iterator

import numpy as np


def samples_of_bins(
    size: tuple[int, int],
    box: np.ndarray,
    *,
    stride: float,
    output_size: tuple[int, int],
    sampling_ratio: int | None = None,
) -> Iterator[tuple[int, int, int, int, float]]:
    """Yield bin row, bin column, cell row, cell column and the cell's weight."""
    box = box.astype(np.float64)
    start = box[:2] / stride - 0.5
    bins = (box[2:] - box[:2]) / stride / np.array(output_size[::-1])
    counts = [sampling_ratio or math.ceil(np.float32(length)) for length in bins]
    for i, j in np.ndindex(*output_size):
        for sy, sx in np.ndindex(counts[1], counts[0]):
            y = start[1] + (i + (sy + 0.5) / counts[1]) * bins[1]
            x = start[0] + (j + (sx + 0.5) / counts[0]) * bins[0]
            for row, column, weight in _cells_around(size, y, x):
                yield i, j, row, column, weight / (counts[0] * counts[1])


def _cells_around(
    size: tuple[int, int], y: float, x: float
) -> Iterator[tuple[int, int, float]]:
    height, width = size
    if not (-1 <= y <= height and -1 <= x <= width):
        return
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    for row in (int(y), int(y) + 1):
        for column in (int(x), int(x) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            if weight:
                yield row, column, weight


def pool(features: np.ndarray, box: np.ndarray, **options) -> np.ndarray:
    """Return the features of one region of a map (h, w, c)."""
    out = np.zeros((*options["output_size"], features.shape[-1]))
    for i, j, row, column, weight in samples_of_bins(
        features.shape[:2], box, **options
    ):
        out[i, j] += weight * features[row, column]
    return out


def spread(
    cotangent: np.ndarray, size: tuple[int, int], box: np.ndarray, **options
) -> np.ndarray:
    """Return the gradient of a map from that of the features of one region."""
    out = np.zeros((*size, cotangent.shape[-1]))
    for i, j, row, column, weight in samples_of_bins(size, box, **options):
        out[row, column] += weight * cotangent[i, j]
    return out
