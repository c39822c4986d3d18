"""Random images and label maps for the timing of segmentation networks."""

import dataclasses

import numpy as np

from experiments.benchmarks.networks.segmenter_speed.config import Size


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The same images and label maps for all variants of a network."""

    images: np.ndarray
    """(n, h, w, 3), normalised."""
    labels: np.ndarray
    """(n, h, w), classes from 0 on."""
    classes: int

    @classmethod
    def draw(cls, size: Size) -> "Inputs":
        """Draw random images and label maps."""
        rng = np.random.default_rng(0)
        shape = (size.batch_size, size.height, size.width)
        images = rng.normal(size=(*shape, 3)).astype(np.float32)
        return cls(images, rng.integers(0, size.classes, shape), size.classes)
