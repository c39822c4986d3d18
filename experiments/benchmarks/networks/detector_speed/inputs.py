"""Random images and objects for the timing of detectors."""

import dataclasses

import numpy as np

from experiments.benchmarks.networks.detector_speed.config import (
    CLASSES,
    DetectorSpeed,
)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The same images and objects for all networks."""

    images: np.ndarray
    """(n, h, w, 3), normalised."""
    boxes: np.ndarray
    """(n, g, 4) in pixels."""
    labels: np.ndarray
    """(n, g), classes from 0 on."""
    masks: np.ndarray
    """(n, g, h, w): ellipses in the boxes."""

    @classmethod
    def draw(cls, config: DetectorSpeed) -> "Inputs":
        """Draw random images and objects of 32 px to half the image."""
        rng = np.random.default_rng(0)
        n, g = config.batch_size, config.objects
        size = np.array([config.width, config.height])
        sides = rng.uniform(32, size / 2, (n, g, 2))
        corners = rng.uniform(0, size - sides)
        boxes = np.concatenate([corners, corners + sides], -1).astype(np.float32)
        centres, radii = corners + sides / 2, sides / 2
        x = (np.arange(config.width) - centres[..., :1]) / radii[..., :1]
        y = (np.arange(config.height) - centres[..., 1:]) / radii[..., 1:]
        masks = x[:, :, None] ** 2 + y[:, :, :, None] ** 2 <= 1
        images = rng.normal(size=(n, config.height, config.width, 3))
        return cls(
            images.astype(np.float32),
            boxes,
            rng.integers(0, CLASSES, (n, g)),
            masks.astype(np.uint8),
        )
