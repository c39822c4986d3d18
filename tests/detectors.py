"""The detectors of `detection_goldens`: networks, weights and batches."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import DTypeLike

from carafe_jax.interop import mmdetection_to_flax
from carafe_jax.models import ResNet
from carafe_jax.models.backbones import Bottleneck
from carafe_jax.models.detection import (
    FPN,
    BoxHead,
    DetectionSettings,
    FasterRCNN,
    MaskHead,
    MaskRCNN,
    ProposalSettings,
    RoISettings,
    RPNHead,
)
from carafe_jax.nn import CARAFEUpsample, DeformableConv
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionBatch,
    DetectionTraining,
    GroundTruth,
    MatchingSettings,
    SamplingSettings,
)
from tests.detection_goldens import describe, load

CARAFE = functools.partial(CARAFEUpsample, compressed_channels=8)


def make_detector(name: str) -> FasterRCNN | MaskRCNN:
    ctor = describe(name)["ctor"]
    convs = [DeformableConv if ctor.get("dcn") else None] * 3
    backbone = ResNet(
        ctor["stage_blocks"],
        Bottleneck,
        width=ctor["base_channels"],
        spatial_conv=(None, *convs),
        frozen_stages=1,
    )
    carafe = {"upsample": CARAFE, "extra_level": "lateral"}
    channels, classes = ctor["fpn_channels"], ctor["num_classes"]
    parts: list[Any] = [
        backbone,
        FPN(channels, **(carafe if ctor["neck"] == "FPN_CARAFE" else {})),
        RPNHead(channels),
        BoxHead(classes, ctor["fc_channels"]),
    ]
    settings = {
        "proposals": ProposalSettings(
            candidates=ctor["test_nms_pre"], count=ctor["test_max_per_img"]
        ),
        "rois": RoISettings(finest_scale=float(ctor["finest_scale"])),
        "detections": DetectionSettings(count=ctor["det_max_per_img"]),
    }
    if "mask" not in ctor:
        return FasterRCNN(*parts, **settings)
    upsample = CARAFE if ctor["mask"] == "carafe" else None
    mask_head = MaskHead(classes, channels, convs=2, upsample=upsample)
    return MaskRCNN(*parts, mask_head=mask_head, **settings)


def training_settings(name: str) -> DetectionTraining:
    ctor = describe(name)["ctor"]
    low_quality = 0.5 if "mask" in ctor else None
    return DetectionTraining(
        anchor_sampling=SamplingSettings(count=ctor["rpn_num"], positive_fraction=0.5),
        proposals=ProposalSettings(
            candidates=ctor["train_nms_pre"], count=ctor["train_max_per_img"]
        ),
        proposal_matching=MatchingSettings(
            positive_iou=0.5, negative_iou=0.5, low_quality_iou=low_quality
        ),
        proposal_sampling=SamplingSettings(
            count=ctor["rcnn_num"], positive_fraction=0.25
        ),
    )


def variables_of(name: str, *, dtype: DTypeLike) -> Any:
    prefix = "state_dict/"
    state = {
        key.removeprefix(prefix): value
        for key, value in load(name).items()
        if key.startswith(prefix)
    }
    converted = mmdetection_to_flax(state)
    # NumPy's: JAX would compile a conversion for each shape.
    return jax.tree.map(lambda x: np.asarray(x, dtype), converted)


def images_of(name: str, *, dtype: DTypeLike) -> jax.Array:
    return jnp.asarray(load(name)["input/images"].transpose(0, 2, 3, 1), dtype)


def batch_of(name: str, *, dtype: DTypeLike, extra_objects: int = 0) -> DetectionBatch:
    """Return the images and objects of a case, with some slots of padding."""
    arrays, images = load(name), images_of(name, dtype=dtype)
    count = len(images)
    slots = extra_objects + max(len(arrays[f"gt/{i}/labels"]) for i in range(count))
    masks = "gt/0/masks" in arrays
    return DetectionBatch(
        images=images,
        image_sizes=jnp.asarray(arrays["meta/img_shape"]),
        padded_sizes=jnp.asarray(arrays["meta/pad_shape"]),
        truth=GroundTruth(
            boxes=Boxes(
                jnp.asarray(_padded(name, "bboxes", slots), dtype),
                jnp.asarray(_padded(name, "labels", slots, fill=-1) >= 0),
            ),
            classes=jnp.asarray(_padded(name, "labels", slots)),
            masks=jnp.asarray(_padded(name, "masks", slots)) if masks else None,
        ),
        weights=jnp.ones(count, dtype),
    )


def _padded(name: str, what: str, slots: int, *, fill: int = 0) -> np.ndarray:
    arrays, rows = load(name), []
    for i in range(len(arrays["input/images"])):
        array = arrays[f"gt/{i}/{what}"]
        padding = [(0, slots - len(array)), *[(0, 0)] * (array.ndim - 1)]
        rows.append(np.pad(array, padding, constant_values=fill))
    return np.stack(rows)
