"""Configurations of published detectors, by mmdetection's names."""

import dataclasses
from typing import Literal

from carafe_jax.models.detection.config import DetectorConfig

MMDetectionName = Literal[
    "faster_rcnn_r50_fpn_1x_coco",
    "mask_rcnn_r50_fpn_1x_coco",
    "faster_rcnn_r50_fpn_carafe_1x_coco",
    "mask_rcnn_r50_fpn_carafe_1x_coco",
    "faster_rcnn_r50_mdconv_c3-c5_fpn_1x_coco",
    "faster_rcnn_r101_mdconv_c3-c5_fpn",
    "mask_rcnn_r101_mdconv_c3-c5_fpn",
]

_MASK_RCNN = DetectorConfig(
    upsampler="nearest", extra_level="pool", mask_upsampler="deconv"
)
_FASTER_RCNN = dataclasses.replace(_MASK_RCNN, detector="faster_rcnn")

MMDETECTION_CONFIGS: dict[MMDetectionName, DetectorConfig] = {
    "faster_rcnn_r50_fpn_1x_coco": _FASTER_RCNN,
    "mask_rcnn_r50_fpn_1x_coco": _MASK_RCNN,
    "faster_rcnn_r50_fpn_carafe_1x_coco": DetectorConfig(detector="faster_rcnn"),
    "mask_rcnn_r50_fpn_carafe_1x_coco": DetectorConfig(),
    "faster_rcnn_r50_mdconv_c3-c5_fpn_1x_coco": dataclasses.replace(
        _FASTER_RCNN, deformable="c3-c5"
    ),
    "faster_rcnn_r101_mdconv_c3-c5_fpn": dataclasses.replace(
        _FASTER_RCNN, depth=101, deformable="c3-c5"
    ),
    "mask_rcnn_r101_mdconv_c3-c5_fpn": dataclasses.replace(
        _MASK_RCNN, depth=101, deformable="c3-c5"
    ),
}
"""Detectors whose weights `carafe_jax.interop.mmdetection_to_flax` converts."""
