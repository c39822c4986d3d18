"""Instance masks as COCO's run-length codes: encoded, checked and decoded.

A code has the lengths of the runs of zeros and ones in turn, down the columns. A run is
stored as digits to the base 32, the lowest first: their characters begin at 48, 32
marks that another digit follows, and 16 in the last digit is the sign. From the fourth
run on, the difference from the run two before is stored.

pycocotools reads and writes outside its memory for codes that are cut off or whose runs
do not fill the mask. Only what passes these checks may reach it.
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from carafe_jax.extras import import_extra

MOST_PIXELS = 2**31 - 1
"""Most pixels of a mask: pycocotools counts them in 32 bits."""

_DIGITS = 7  # To the base 32, of 32 bits.
_FIRST_CHARACTER = 48
_CHUNK_BYTES = 2**22


class RLE(TypedDict):
    """An instance mask as COCO's compressed run-length code."""

    size: list[int]
    """Height and width."""
    counts: bytes
    """Lengths of the runs, as `pycocotools.mask` encodes them."""


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


def ends_of_runs(counts: bytes) -> Int64[np.ndarray, "n"]:
    """Return where the runs of a valid code end, as numbers of pixels."""
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    last = np.flatnonzero(digits & 32 == 0)
    first = np.append(0, last[:-1] + 1)
    length = last - first + 1
    shifts = 5 * (np.arange(len(digits)) - np.repeat(first, length))
    runs = np.add.reduceat((digits & 31) << shifts, first)
    runs -= np.where(digits[last] & 16, 1 << 5 * length, 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return np.cumsum(runs)


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
