"""A detector with drawn weights and all that `load` adds to one."""

from typing import Any

from carafe_jax.tasks.detection import Categories, DetectionData, TrainedDetector
from tests import tiny_detectors

SIDE = 64  # Of the padded images: one program serves photographs of all sizes.


def tiny_trained_detector(**fields: Any) -> TrainedDetector:
    network = tiny_detectors.mask_rcnn()
    return TrainedDetector(
        **{
            "network": network,
            "variables": tiny_detectors.variables_of(network),
            "name": "tiny Mask R-CNN",
            "dtype": "float32",
            "categories": Categories(("ant", "bee", "cow"), (2, 5, 9)),
            "data": DetectionData(source="none", short_side=SIDE, long_side=SIDE),
            "step": 7,
            **fields,
        }
    )
