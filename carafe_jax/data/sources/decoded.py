"""Photographs that are decoded on the first access, and then held in memory."""

import dataclasses
import threading
from typing import Any

import numpy as np
from jaxtyping import UInt8

from carafe_jax.data.decoding import UnreadableImageError, decode_image
from carafe_jax.data.sources.images import EncodedImages


@dataclasses.dataclass
class DecodedPhotographs:
    """Photographs by index, decoded on demand; several threads may read.

    A pickled copy, as other processes receive it, starts with an empty memory.
    """

    images: EncodedImages
    minimum_side: int
    """Shortest side that an image may have, in pixels."""
    sufficient_side: int | None = None
    """As in `decode_photograph`."""
    cache_bytes: int = 0
    """Memory for decoded photographs. The first that are read and fit are kept."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[int, np.ndarray] = {}
        self._bytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return type(self), tuple(values)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the file or the record of a photograph."""
        return self.images.name(index)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a photograph, decoded or from memory.

        Raises:
          UnreadableImageError: The photograph is damaged or too small.
        """
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        decoded = self._decode(index)
        # All readers share the array.
        decoded.setflags(write=False)
        with self._lock:
            fits = self._bytes + decoded.nbytes <= self.cache_bytes
            if fits and index not in self._kept:
                self._bytes += decoded.nbytes
                self._kept[index] = decoded
        return decoded

    def _decode(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        with self.images.open(index) as image:
            width, height = image.size
            if min(width, height) < self.minimum_side:
                raise UnreadableImageError(
                    f"{width} x {height} pixels, a side under {self.minimum_side}"
                )
            return decode_image(image, sufficient_side=self.sufficient_side)
