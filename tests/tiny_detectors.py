"""Detectors and batches that compile fast, for properties of whole detectors."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax.models.detection import (
    DetectionSettings,
    DetectorConfig,
    FasterRCNN,
    MaskRCNN,
    ProposalSettings,
    RoISettings,
)
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionBatch,
    DetectionTraining,
    GroundTruth,
    MatchingSettings,
    SamplingSettings,
)

CLASSES = 3
SIZE = (64, 96)
CONFIG = DetectorConfig(
    depth=18,
    width=4,
    frozen_stages=0,
    upsampler="nearest",
    extra_level="pool",
    fpn_features=8,
    box_hidden=16,
    mask_upsampler="deconv",
    mask_convs=1,
    proposals=ProposalSettings(candidates=40, count=30),
    rois=RoISettings(box_size=3, mask_size=4, finest_scale=16.0),
    detections=DetectionSettings(count=10),
)
TRAINING = DetectionTraining(
    anchor_sampling=SamplingSettings(count=64, positive_fraction=0.5),
    proposals=ProposalSettings(candidates=60, count=40),
    # Training starts with many positives: proposals are random.
    proposal_matching=MatchingSettings(
        positive_iou=0.3, negative_iou=0.3, low_quality_iou=0.2
    ),
    proposal_sampling=SamplingSettings(count=24, positive_fraction=0.5),
)


def faster_rcnn(**fields: Any) -> FasterRCNN:
    return _detector("faster_rcnn").clone(**fields)


def mask_rcnn(**fields: Any) -> MaskRCNN:
    return _detector("mask_rcnn").clone(**fields)


def _detector(detector: Literal["faster_rcnn", "mask_rcnn"]) -> Any:
    made = dataclasses.replace(CONFIG, detector=detector).make(CLASSES)
    # A block in each stage: half of them.
    backbone: Any = made.backbone
    return made.clone(backbone=backbone.clone(stage_sizes=(1, 1, 1, 1)))


def variables_of(detector: FasterRCNN | MaskRCNN) -> Any:
    """Draw weights with NumPy: initializers take longer to compile than a test."""
    images, sizes = jnp.zeros((1, *SIZE, 3)), jnp.zeros((1, 2))
    shapes = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> jax.Array:
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape)
        if path[-1].key in ("bias", "mean"):
            return jnp.zeros(leaf.shape)
        scale = np.sqrt(2 / fan_in)
        return jnp.asarray(rng.normal(size=leaf.shape, scale=scale), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def batch(*, slots: int = 6) -> DetectionBatch:
    """Return two images with three and one objects, in a number of slots."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(2, *SIZE, 3)).astype(np.float32)
    sizes = np.array([[60, 90], [50, 96]])
    for image, (height, width) in zip(images, sizes, strict=True):
        image[height:], image[:, width:] = 0, 0
    objects = [
        np.array([[10, 8, 52, 47], [31, 20, 83, 55], [60.5, 5.25, 80, 30]]),
        np.array([[5, 10, 44.5, 48]]),
    ]
    coordinates = np.zeros((2, slots, 4), np.float32)
    masks = np.zeros((2, slots, *SIZE), np.uint8)
    for i, boxes in enumerate(objects):
        coordinates[i, : len(boxes)] = boxes
        for mask, (x1, y1, x2, y2) in zip(masks[i], boxes.astype(int), strict=False):
            # Two thirds of the box.
            mask[y1:y2, x1 : x1 + 2 * (x2 - x1) // 3] = 1
    counts = np.array([len(boxes) for boxes in objects])
    valid = np.arange(slots) < counts[:, None]
    classes = np.where(valid, np.arange(slots) % CLASSES, 0)
    return DetectionBatch(
        images=jnp.asarray(images),
        image_sizes=jnp.asarray(sizes),
        padded_sizes=jnp.asarray(np.array([[64, 96], [64, 96]])),
        truth=GroundTruth(
            boxes=Boxes(jnp.asarray(coordinates), jnp.asarray(valid)),
            classes=jnp.asarray(classes),
            masks=jnp.asarray(masks),
        ),
        weights=jnp.ones(2),
    )
