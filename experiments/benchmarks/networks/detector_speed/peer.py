"""The programs of torchvision's Mask R-CNN; it is imported only here."""

import importlib
from typing import Any

from experiments.benchmarks.networks.detector_speed.config import (
    CLASSES,
    LOGIT_SCALE,
)
from experiments.benchmarks.networks.detector_speed.inputs import Inputs
from experiments.benchmarks.networks.timed_programs import Calls


def torchvision_programs(inputs: Inputs) -> Calls:
    torch: Any = importlib.import_module("torch")
    detection: Any = importlib.import_module("torchvision.models.detection")
    backbones: Any = importlib.import_module(
        "torchvision.models.detection.backbone_utils"
    )
    norms: Any = importlib.import_module("torchvision.ops.misc")
    torch.manual_seed(0)
    _, height, width, _ = inputs.images.shape
    detector = detection.MaskRCNN(
        # As ours: batch norm in evaluation mode, stem and Res-2 frozen.
        backbones.resnet_fpn_backbone(
            backbone_name="resnet50",
            weights=None,
            norm_layer=norms.FrozenBatchNorm2d,
            trainable_layers=3,
        ),
        num_classes=CLASSES + 1,
        # The images are normalised, and keep their size.
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        min_size=min(height, width),
        max_size=max(height, width),
    )
    with torch.no_grad():
        detector.roi_heads.box_predictor.cls_score.weight.mul_(LOGIT_SCALE)
    images = [torch.tensor(x.transpose(2, 0, 1).copy()) for x in inputs.images]
    batch = torch.stack(images)
    targets = [
        {
            "boxes": torch.tensor(boxes),
            "labels": torch.tensor(labels + 1),
            "masks": torch.tensor(masks),
        }
        for boxes, labels, masks in zip(
            inputs.boxes, inputs.labels, inputs.masks, strict=True
        )
    ]

    def backbone() -> None:
        with torch.inference_mode():
            detector.eval().backbone.body(batch)

    def backbone_gradients() -> None:
        detector.train().zero_grad()
        features = detector.backbone.body(batch).values()
        torch.stack([x.square().sum() for x in features]).sum().backward()

    def infer() -> None:
        with torch.inference_mode():
            detector.eval()(images)

    def train() -> None:
        detector.train().zero_grad()
        losses: Any = detector(images, targets)
        torch.stack(tuple(losses.values())).sum().backward()

    return {
        "backbone": backbone,
        "backbone_gradients": backbone_gradients,
        "inference": infer,
        "training": train,
    }
