"""Training batches of detection."""

import dataclasses

import jax
from jaxtyping import Array, Float, Int, UInt8

from carafe_jax.ops.boxes import Boxes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Objects of each image, padded at the end to a fixed number."""

    boxes: Boxes
    """(n, g) boxes in pixels of the images."""
    classes: Int[Array, "n g"]
    """Indices of the classes."""
    masks: UInt8[Array, "n g h w"] | None = None
    """Masks over the padded images, 0 or 1. None: boxes alone."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionBatch:
    """Images with their objects."""

    images: Float[Array, "n h w 3"]
    """Normalised images, padded with zeros at the bottom and right."""
    image_sizes: Int[Array, "n 2"]
    """(height, width) of each image without its padding."""
    padded_sizes: Int[Array, "n 2"]
    """(height, width) that each image alone would be padded to: anchors beyond are not
    trained."""
    truth: GroundTruth
    weights: Float[Array, "n"]
    """1 for images, 0 for those that fill an incomplete batch."""
