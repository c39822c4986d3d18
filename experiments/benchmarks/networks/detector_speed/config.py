"""Options of the timing of detectors."""

import dataclasses
import pathlib
from typing import Literal

from carafe_jax.arguments import check_count

NetworkName = Literal["torchvision", "carafe_jax", "carafe_fpn", "carafe_fpn_mask"]
Mode = Literal["backbone", "backbone_gradients", "inference", "training"]

TITLES: dict[NetworkName, str] = {
    "torchvision": "torchvision",
    "carafe_jax": "carafe-jax, nearest and deconvolution",
    "carafe_fpn": "carafe-jax, CARAFE++ in FPN",
    "carafe_fpn_mask": "carafe-jax, CARAFE++ in FPN and mask head",
}
CLASSES = 80
LOGIT_SCALE = 40.0
"""Factor of the box head's last kernel, so that random weights detect something."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorSpeed:
    """Options of the timing."""

    networks: tuple[NetworkName, ...] = tuple(TITLES)
    """Detectors to time: Mask R-CNN with ResNet-50 and FPN."""
    modes: tuple[Mode, ...] = (
        "backbone",
        "backbone_gradients",
        "inference",
        "training",
    )
    """Programs of each detector: the ResNet alone, forward, and with its gradients;
    detections and masks of a batch; losses and gradients of a batch."""
    batch_size: int = 1
    """Images in a batch."""
    height: int = 512
    """Rows of the images, a multiple of 64."""
    width: int = 832
    """Columns of the images, a multiple of 64."""
    objects: int = 8
    """Objects of an image in training."""
    repetitions: int = 7
    """Timings of each program, all networks in turn."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/networks/detector_speed.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "height", "width", "objects", "repetitions"):
            check_count(name, getattr(self, name))
