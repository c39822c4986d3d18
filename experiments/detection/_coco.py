"""The paper's recipe on COCO, with a backbone of `experiments.classification`."""

import dataclasses
import pathlib

from carafe_jax.models.detection import MMDETECTION_CONFIGS, DetectorConfig
from carafe_jax.tasks.detection import DetectionRun
from carafe_jax.tasks.run_config import Start
from carafe_jax.train import Loop

FASTER_RCNN = MMDETECTION_CONFIGS["faster_rcnn_r50_fpn_1x_coco"]
MASK_RCNN = MMDETECTION_CONFIGS["mask_rcnn_r50_fpn_1x_coco"]
_SUFFIXES = {"conv": "", "lip_bottleneck": "_lip"}


def with_parts(config: DetectorConfig, **fields: object) -> DetectorConfig:
    """Return a detector with other parts; P6 of an FPN with CARAFE++ is a lateral."""
    if fields.get("upsampler", "nearest") != "nearest":
        fields = {"extra_level": "lateral", **fields}
    return dataclasses.replace(config, **fields)


def coco_run(name: str, network: DetectorConfig, *, epochs: int = 12) -> DetectionRun:
    """Return a run in the 1x (12 epochs) or 2x (24 epochs) schedule.

    Args:
      name: Name of its folder.
      network: Detector.
      epochs: Length. The rate drops after 8 and 11 of 12 epochs, 16 and 22 of 24.
    """
    suffix = _SUFFIXES.get(network.downsampler, f"_{network.downsampler}")
    backbone = f"imagenet_resnet{network.depth}{suffix}"
    return DetectionRun(
        network=dataclasses.replace(network, dtype="bfloat16"),
        loop=Loop(epochs=epochs, save_every=1000),
        start=Start(model=pathlib.Path("runs/classification") / backbone),
        workdir=pathlib.Path("runs/detection") / name,
    )
