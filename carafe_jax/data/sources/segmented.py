"""Interface of sources of segmented images: photographs with a class at each pixel."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.images import DigestedImages

IGNORED_LABEL = 255
"""Label of pixels without a class, in all 8-bit label maps: they count neither in a
loss nor in a metric."""


@runtime_checkable
class SegmentedImages(DigestedImages, Protocol):
    """Random access to photographs that are not yet decoded, and to their labels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        ...

    @property
    def palette(self) -> UInt8[np.ndarray, "k 3"] | None:
        """RGB colour of each class. None: the source has no colours."""
        ...

    @property
    def findings(self) -> Findings:
        """What was dropped, mended or kept while the source was opened."""
        ...

    def size(self, index: int, /) -> tuple[int, int]:
        """Return height and width of an upright photograph, without opening it."""
        ...

    def label_map(self, index: int, /) -> UInt8[np.ndarray, "h w"]:
        """Return the label of each pixel, without opening the photograph.

        Returns:
          Indices of classes; 255 at ignored pixels.

        Raises:
          UnreadableImageError: The label map cannot be read, or has a value that is
            neither a class nor ignored.
        """
        ...

    def open(self, index: int, /) -> tuple[Image.Image, UInt8[np.ndarray, "h w"]]:
        """Open a photograph, without decoding it; return it with its label map.

        Raises:
          UnreadableImageError: As for `label_map`; or the photograph cannot be opened,
            or its upright size is not that of its label map.
        """
        ...
