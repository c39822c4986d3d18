"""The recipe on ADE20K; backbones of `experiments.classification`, deep stem."""

import dataclasses
import pathlib

from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.run_config import Start
from carafe_jax.tasks.segmentation import SegmentationData, SegmentationRun
from experiments.segmentation._resamplers import PLAIN

UPERNET = SegmenterConfig(
    **PLAIN,
    # As CSAIL's synchronised norms, which average over about a thousand steps.
    norm_momentum=0.999,
    dtype="bfloat16",
)
_SUFFIXES = {"conv": "_deep", "carafe": "_carafe_deep"}


def with_parts(config: SegmenterConfig, **fields: object) -> SegmenterConfig:
    """Return a network with other parts."""
    return dataclasses.replace(config, **fields)


def ade20k_run(
    name: str, network: SegmenterConfig, *, crop_size: tuple[int, int] | None = None
) -> SegmentationRun:
    """Return a run of 100,000 steps, 20 "epochs" of CSAIL's code.

    Args:
      name: Name of its folder.
      network: Segmentation network.
      crop_size: Height and width of random crops. None: whole photographs.
    """
    backbone = f"imagenet_resnet{network.depth}{_SUFFIXES[network.downsampler]}"
    return SegmentationRun(
        data=SegmentationData(source="ADEChallengeData2016", crop_size=crop_size),
        network=network,
        start=Start(model=pathlib.Path("runs/classification") / backbone),
        workdir=pathlib.Path("runs/segmentation") / name,
    )
