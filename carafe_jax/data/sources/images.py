"""Interfaces of sources: images by index, opened or decoded on demand."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image


@runtime_checkable
class NamedImages(Protocol):
    """Images with names, for errors and logs."""

    def __len__(self) -> int: ...

    def name(self, index: int, /) -> str:
        """Return the file or record name of an image."""
        ...


@runtime_checkable
class DigestedImages(NamedImages, Protocol):
    """Images with a digest, by which a resumed run notices a change of them."""

    def digest(self) -> str:
        """Return a hash of what identifies the images; none of them is opened."""
        ...


@runtime_checkable
class EncodedImages(DigestedImages, Protocol):
    """Random access to images that are not yet decoded."""

    def open(self, index: int, /) -> Image.Image:
        """Open an image; its pixels are not decoded.

        Raises:
          UnreadableImageError: The image cannot be opened.
        """
        ...


@runtime_checkable
class LabelledImages(DigestedImages, Protocol):
    """Random access to images that are not yet decoded, and to their classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        ...

    def open(self, index: int, /) -> tuple[Image.Image, int]:
        """Open an image, without decoding it; return it with its label.

        Raises:
          UnreadableImageError: The image cannot be opened.
        """
        ...


@runtime_checkable
class Photographs(DigestedImages, Protocol):
    """Random access to photographs, each 8-bit RGB of its own size."""

    def __getitem__(self, index: int, /) -> UInt8[np.ndarray, "h w 3"]:
        """Return a photograph.

        Raises:
          UnreadableImageError: The photograph cannot be read, or is too small.
        """
        ...
