"""Outputs of detectors for photographs, in pixels of the photographs."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array

from carafe_jax.models.detection import FasterRCNN, InstanceDetections, MaskRCNN
from carafe_jax.tasks.padded_images import normalised_images
from carafe_jax.train import Variables

Predict = Callable[[Variables, Any], dict[str, Array]]
"""Function of a network's variables and a test batch that returns "box" (n, d, 4) in
pixels of the photographs, "score", "label" and "object", which is False for padding,
each (n, d); and "mask" (n, d, m, m), probabilities over the boxes, of a Mask R-CNN."""


def predictions_of(network: FasterRCNN | MaskRCNN, *, dtype: str) -> Predict:
    """Return the function from variables and test batches to detections.

    Args:
      network: Detector of normalised images.
      dtype: Dtype of the images that it takes.
    """

    def predict(variables: Variables, batch: Mapping[str, Any]) -> dict[str, Array]:
        images, sizes = batch["image"], batch["image_size"]
        images = normalised_images(images, sizes, dtype=dtype)
        found: Any = network.apply(variables, images, sizes, batch["scale_factor"])
        masks = {}
        if isinstance(found, InstanceDetections):
            masks["mask"], found = found.masks, found.detections
        return {
            "box": found.boxes.coordinates,
            "score": found.scores,
            "label": found.classes,
            "object": found.boxes.valid,
            **masks,
        }

    return predict
