"""Instance masks as COCO's run-length encodings, checked before they are decoded.

pycocotools reads and writes outside its memory for encodings that are cut off or whose
runs do not fill the mask, and for polygons that are not finite. Only what passes these
checks may reach it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from carafe_jax.data.sources.annotated import RLE
from carafe_jax.extras import import_extra

MOST_PIXELS = 2**31 - 1
"""Most pixels of a mask: pycocotools counts them in 32 bits."""

# Runs are stored as digits to the base 32, of which 7 hold 32 bits.
_DIGITS = 7
_FIRST_CHARACTER = 48
_CHUNK_BYTES = 2**22


def mask_tools() -> Any:
    """Return the module `pycocotools.mask`.

    Raises:
      MissingExtraError: pycocotools is not installed.
    """
    return import_extra(
        "pycocotools.mask", extra="detection", purpose="reading instance masks"
    )


def decode_mask(mask: RLE) -> Bool[np.ndarray, "h w"]:
    """Return an encoded mask as an array."""
    return mask_tools().decode(mask).astype(bool)


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


def runs_to_rle(runs: Sequence[Any], size: tuple[int, int]) -> RLE | None:
    """Return the compressed form of runs, or None if they do not fill the mask.

    Args:
      runs: Lengths of the runs of zeros and ones in turn.
      size: Height and width of the mask.
    """
    pixels = size[0] * size[1]
    if pixels > MOST_PIXELS or any(type(run) is not int or run < 0 for run in runs):
        return None
    if sum(runs) != pixels:
        return None
    compressed = mask_tools().frPyObjects({"size": [*size], "counts": [*runs]}, *size)
    return RLE(size=[*size], counts=compressed["counts"])


def are_valid_counts(
    content: UInt8[np.ndarray, "bytes"],
    offsets: Int64[np.ndarray, "offsets"],
    pixels: Int64[np.ndarray, "m"],
) -> Bool[np.ndarray, "m"]:
    """Return whether compressed runs are complete and fill their masks.

    Args:
      content: Characters of all encodings, one after the other.
      offsets: Index of the first character of each encoding, and of the end.
      pixels: Number of pixels of each mask.
    """
    valid = np.zeros(len(pixels), bool)
    first = 0
    while first < len(pixels):
        end = int(np.searchsorted(offsets, offsets[first] + _CHUNK_BYTES, "right")) - 1
        last = min(max(end, first + 1), len(pixels))
        bounds = offsets[first : last + 1]
        part = content[bounds[0] : bounds[-1]]
        valid[first:last] = _are_valid(part, bounds - bounds[0], pixels[first:last])
        first = last
    return valid


def _are_valid(
    content: UInt8[np.ndarray, "bytes"],
    offsets: Int64[np.ndarray, "offsets"],
    pixels: Int64[np.ndarray, "m"],
) -> Bool[np.ndarray, "m"]:
    """Return `are_valid_counts` of a chunk."""
    count = len(pixels)
    owner = np.repeat(np.arange(count), np.diff(offsets))
    digits = content - np.uint8(_FIRST_CHARACTER)  # Smaller characters wrap around.
    is_last = (digits & 0x20) == 0
    valid = np.diff(offsets) > 0
    valid[valid] = is_last[offsets[1:][valid] - 1]
    valid[owner[digits >= 64]] = False
    # Encodings that are cut off are left out, as they would run into the next ones.
    kept = valid[owner]
    owner, digits, is_last = owner[kept], digits[kept].astype(np.int64), is_last[kept]
    if not len(digits):
        return valid
    last = np.flatnonzero(is_last)
    first = np.append(0, last[:-1] + 1)
    length, run_owner = last - first + 1, owner[last]
    valid[run_owner[length > _DIGITS]] = False
    place = np.minimum(np.arange(len(digits)) - np.repeat(first, length), _DIGITS)
    runs = np.add.reduceat((digits & 0x1F) << (5 * place), first)
    is_negative = (digits[last] & 0x10) != 0
    runs -= is_negative * (np.int64(1) << (5 * np.minimum(length, _DIGITS)))
    runs = _undo_differences(runs, run_owner)
    valid[run_owner[runs < 0]] = False
    return valid & (np.bincount(run_owner, runs, count) == pixels)


def _undo_differences(
    runs: Int64[np.ndarray, "n"], owner: Int64[np.ndarray, "n"]
) -> Int64[np.ndarray, "n"]:
    """Add to each run from the fourth on the run two before it, one after the other."""
    number = np.arange(len(runs)) - np.searchsorted(owner, owner, "left")
    result = runs.copy()
    for parity in (0, 1):
        # The first run of zeros stands alone.
        chain = np.flatnonzero((number % 2 == parity) & (number > 0))
        if not len(chain):
            continue
        sums = np.cumsum(runs[chain])
        begins = np.searchsorted(owner[chain], owner[chain], "left")
        result[chain] = sums - sums[begins] + runs[chain][begins]
    return result
