"""Photographs that are decoded on first access and cached in memory."""

import dataclasses
import threading
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.decoding import UnreadableImageError, decode_image
from carafe_jax.data.sources.images import EncodedImages


@dataclasses.dataclass
class DecodedPhotographs:
    """Photographs by index, decoded on demand; thread-safe.

    A pickled copy, as other processes receive it, starts with an empty cache.
    """

    images: EncodedImages
    minimum_side: int
    """Least length of an image's shorter side, in pixels."""
    sufficient_side: int | None = None
    """Sufficient length of the shorter side, as in `decode_photograph`."""
    cache_bytes: int = 0
    """Size of the cache of decoded photographs, filled in the order of first access."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: dict[int, np.ndarray] = {}
        self._bytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return type(self), tuple(values)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the file or record name of a photograph."""
        return self.images.name(index)

    def digest(self) -> str:
        """Return a hash of what identifies the photographs."""
        return self.images.digest()

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a photograph, decoded or from the cache.

        Raises:
          UnreadableImageError: The photograph is damaged or too small.
        """
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        decoded = self._decode(index)
        # All readers share the array.
        decoded.setflags(write=False)
        with self._lock:
            fits = self._bytes + decoded.nbytes <= self.cache_bytes
            if fits and index not in self._cache:
                self._bytes += decoded.nbytes
                self._cache[index] = decoded
        return decoded

    def open(self, index: int) -> Image.Image:
        """Open a photograph, without decoding it.

        Raises:
          UnreadableImageError: The photograph cannot be opened, or is too small.
        """
        image = self.images.open(index)
        width, height = image.size
        if min(width, height) < self.minimum_side:
            image.close()
            raise UnreadableImageError(
                f"{width} x {height} pixels, a side under {self.minimum_side}"
            )
        return image

    def _decode(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        with self.open(index) as image:
            return decode_image(image, sufficient_side=self.sufficient_side)
