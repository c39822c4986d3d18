"""The detectors of `detection_goldens`: networks, weights and batches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import DTypeLike

from carafe_jax.interop import mmdetection_to_flax
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
    SamplingSettings,
)
from tests.detection_goldens import describe, load


def make_detector(name: str) -> FasterRCNN | MaskRCNN:
    ctor = describe(name)["ctor"]
    detector: Any = config_of(name).make(ctor["num_classes"])
    # In the dtype of the images.
    fields = {"stage_sizes": ctor["stage_blocks"], "dtype": None}
    return detector.clone(backbone=detector.backbone.clone(**fields))


def config_of(name: str) -> DetectorConfig:
    """Return the configuration of a detector, with more blocks than it has."""
    ctor = describe(name)["ctor"]
    carafe, has_masks = ctor["neck"] == "FPN_CARAFE", "mask" in ctor
    return DetectorConfig(
        detector="mask_rcnn" if has_masks else "faster_rcnn",
        width=ctor["base_channels"],
        deformable="c3-c5" if ctor.get("dcn") else "none",
        upsampler="carafe" if carafe else "nearest",
        extra_level="lateral" if carafe else "pool",
        fpn_features=ctor["fpn_channels"],
        box_hidden=ctor["fc_channels"],
        mask_upsampler="carafe" if ctor.get("mask") == "carafe" else "deconv",
        mask_convs=2,
        compressed_channels=(16, 8),
        proposals=ProposalSettings(
            candidates=ctor["test_nms_pre"], count=ctor["test_max_per_img"]
        ),
        rois=RoISettings(finest_scale=float(ctor["finest_scale"])),
        detections=DetectionSettings(count=ctor["det_max_per_img"]),
    )


def training_settings(name: str) -> DetectionTraining:
    ctor = describe(name)["ctor"]
    return DetectionTraining(
        anchor_sampling=SamplingSettings(count=ctor["rpn_num"], positive_fraction=0.5),
        proposals=ProposalSettings(
            candidates=ctor["train_nms_pre"], count=ctor["train_max_per_img"]
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
