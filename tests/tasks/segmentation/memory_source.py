"""A source of segmented images in memory."""

import dataclasses

import numpy as np
from PIL import Image

from carafe_jax.data import Findings, UnreadableImageError

CLASSES = ("sky", "tree", "road")


@dataclasses.dataclass(frozen=True)
class MemorySource:
    """Segmented images of given sizes, by index.

    The red value of a photograph is its index, the green one counts its rows, and the
    blue one its columns. The labels are those of `labels_of`.
    """

    sizes: tuple[tuple[int, int], ...]
    damaged: frozenset[int] = frozenset()
    classes: tuple[str, ...] = CLASSES
    palette: np.ndarray | None = None

    @property
    def findings(self) -> Findings:
        return Findings()

    def __len__(self) -> int:
        return len(self.sizes)

    def name(self, index: int) -> str:
        return f"photograph {index}"

    def digest(self) -> str:
        return str(self.sizes)

    def size(self, index: int) -> tuple[int, int]:
        return self.sizes[index]

    def label_map(self, index: int) -> np.ndarray:
        if index in self.damaged:
            raise UnreadableImageError("damaged", self.name(index))
        return labels_of(self.size(index))

    def open(self, index: int) -> tuple[Image.Image, np.ndarray]:
        labels = self.label_map(index)
        rows, columns = np.indices(labels.shape)
        pixels = np.stack([np.full(labels.shape, index), rows, columns], -1)
        return Image.fromarray(pixels.astype(np.uint8)), labels


def labels_of(size: tuple[int, int]) -> np.ndarray:
    """Return a label map: 0 in the left half, 1 in the right, 255 at the bottom."""
    height, width = size
    labels = np.zeros(size, np.uint8)
    labels[:, (width + 1) // 2 :] = 1
    labels[height - height // 4 :] = 255
    return labels
