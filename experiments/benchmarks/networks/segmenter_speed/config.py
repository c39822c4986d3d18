"""Options of the timing of segmentation networks."""

import dataclasses
import pathlib
from typing import Literal

from carafe_jax.arguments import check, check_count
from carafe_jax.models.segmentation import SegmenterConfig
from experiments.segmentation._ade20k import with_parts
from experiments.segmentation._resamplers import PLACES, PLAIN
from experiments.segmentation.small_upernet import RUN

NetworkName = Literal["small", "r50"]
Variant = Literal["torch", "plain", "carafe", "carafe_all"]
Mode = Literal["inference", "training"]

TITLES: dict[Variant, str] = {
    "torch": "PyTorch",
    "plain": "carafe-jax, bilinear",
    "carafe": "carafe-jax, CARAFE++ in PPM, FPN and FUSE",
    "carafe_all": "carafe-jax, CARAFE++ in the backbone, too",
}
_PARTS = {
    "torch": PLAIN,
    "plain": PLAIN,
    "carafe": PLACES["ppm_fpn_fuse"],
    "carafe_all": PLACES["all_four"],
}
STRIDE = 32
"""Number whose multiples are the sides of the images."""


@dataclasses.dataclass(frozen=True)
class Size:
    """A network, and its images."""

    title: str
    network: SegmenterConfig
    classes: int
    batch_size: int
    height: int
    width: int

    def with_resamplers(self, variant: Variant) -> SegmenterConfig:
        """Return the network with the resamplers of a variant."""
        return with_parts(self.network, **_PARTS[variant])


SIZES: dict[NetworkName, Size] = {
    "small": Size("UperNet R18, a quarter as wide", RUN.network, 11, 8, 192, 256),
    "r50": Size("UperNet R50", SegmenterConfig(), 150, 2, 256, 384),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterSpeed:
    """Options of the timing."""

    networks: tuple[NetworkName, ...] = ("small", "r50")
    """Networks to time: that of `experiments.segmentation.small_upernet`, and UperNet
    R50 with 150 classes."""
    variants: tuple[Variant, ...] = tuple(TITLES)
    """The network in PyTorch, and ours without and with CARAFE++."""
    modes: tuple[Mode, ...] = ("inference", "training")
    """Programs of each network: label maps of a batch; loss and gradients of a
    batch."""
    batch_size: int | None = None
    """Images in a batch. None: 8 of the small network, 2 of UperNet R50."""
    height: int | None = None
    """Rows of the images, a multiple of 32. None: 192 and 256."""
    width: int | None = None
    """Columns of the images, a multiple of 32. None: 256 and 384."""
    repetitions: int = 7
    """Timings of each program, all in turn."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/networks/segmenter_speed.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        check_count("repetitions", self.repetitions)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        for name in ("height", "width"):
            side = getattr(self, name)
            rule = f"be a positive multiple of {STRIDE}"
            holds = side is None or (side > 0 and side % STRIDE == 0)
            check(name, side, rule, holds=holds)

    def size(self, network: NetworkName) -> Size:
        """Return a network with the images of these options."""
        given = {
            name: getattr(self, name)
            for name in ("batch_size", "height", "width")
            if getattr(self, name) is not None
        }
        return dataclasses.replace(SIZES[network], **given)
