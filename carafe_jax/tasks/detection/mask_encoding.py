"""Instance masks of detections as run-length encodings, at the photograph's size."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from carafe_jax.ops import paste_masks
from carafe_jax.run_length_codes import RLE, decode_mask, runs_to_rle


def encode_masks(
    masks: Float[np.ndarray, "d m m"],
    boxes: Float[np.ndarray, "d 4"],
    *,
    size: tuple[int, int],
) -> list[RLE]:
    """Paste masks into their photograph as `carafe_jax.ops.paste_masks`, and encode.

    Only the rows and columns around a box are computed, one mask after the other.

    Args:
      masks: Probabilities over the boxes.
      boxes: x1, y1, x2, y2 in pixels of the photograph.
      size: Height and width of the photograph.

    Returns:
      COCO's compressed encoding of each mask.
    """
    return [_encoded(mask, box, size) for mask, box in zip(masks, boxes, strict=True)]


class DecodedMasks:
    """Encoded masks, each decoded when it is indexed."""

    def __init__(self, masks: Sequence[RLE]) -> None:
        """Decode nothing yet."""
        self._masks = masks

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        return decode_mask(self._masks[index])


def _encoded(
    mask: Float[np.ndarray, "m m"], box: Float[np.ndarray, "4"], size: tuple[int, int]
) -> RLE:
    height, width = size
    # The outermost weights of the interpolation reach half a cell beyond the box.
    reach = (box[2:] - box[:2]) / (2 * len(mask)) + 1
    left, top = np.clip(np.floor(box[:2] - reach), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:] + reach), 0, (width, height)).astype(int)
    runs = [height * width]
    if left < right and top < bottom:
        # In float32, too, the subtraction of whole pixels is exact.
        corner = np.array([left, top, left, top], box.dtype)
        window = (int(bottom - top), int(right - left))
        (pasted,) = paste_masks(mask[None], (box - corner)[None], size=window)
        columns = np.zeros((window[1], height), bool)
        columns[:, top:bottom] = pasted.T
        runs = _runs(columns.ravel(), before=int(left) * height, total=height * width)
    encoded = runs_to_rle(runs, size)
    assert encoded is not None, "The runs fill the mask."
    return encoded


def _runs(pixels: Bool[np.ndarray, "p"], *, before: int, total: int) -> list[int]:
    """Return the lengths of the runs of zeros and ones in turn, of a whole mask.

    Args:
      pixels: Consecutive pixels of the mask.
      before: Number of pixels before these, all zero.
      total: Number of pixels of the mask; those after `pixels` are zero.
    """
    changes = np.flatnonzero(np.diff(pixels, prepend=False, append=False)) + before
    runs = np.diff(changes, prepend=0, append=total).tolist()
    return runs if runs[-1] else runs[:-1]
