"""The recipe on ADE20K; backbones of `experiments.classification`, deep stem."""

import dataclasses
import pathlib

from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.run_config import Start
from carafe_jax.tasks.segmentation import (
    SegmentationData,
    SegmentationOptimizer,
    SegmentationRun,
    SegmentationTraining,
)
from carafe_jax.train import SGD, Loop
from experiments.segmentation._resamplers import PLAIN

UPERNET = SegmenterConfig(
    **PLAIN,
    # As CSAIL's synchronised norms, which average over about a thousand steps.
    norm_momentum=0.999,
    dtype="bfloat16",
)
SEMSEG = SegmentationOptimizer(
    sgd=SGD(
        learning_rate=0.01,
        nesterov=False,
        warmup=0.0,
        decay="polynomial",
        decayed="all",
        rate_factors=(("^(?!backbone/)", 10.0),),  # All layers but those of the ResNet.
    )
)
_SUFFIXES = {"conv": "_deep", "carafe": "_carafe_deep"}


def with_parts(config: SegmenterConfig, **fields: object) -> SegmenterConfig:
    """Return a network with other parts."""
    return dataclasses.replace(config, **fields)


def ade20k_run(name: str, network: SegmenterConfig) -> SegmentationRun:
    """Return a run by the recipe of CSAIL, or of semseg for PSPNet and PSANet.

    CSAIL's takes 100,000 steps, 20 "epochs" of its code; semseg's 100 epochs of crops.

    Args:
      name: Name of its folder.
      network: Segmentation network.
    """
    backbone = f"imagenet_resnet{network.depth}{_SUFFIXES[network.downsampler]}"
    run = SegmentationRun(
        data=SegmentationData(source="ADEChallengeData2016"),
        network=network,
        start=Start(model=pathlib.Path("runs/classification") / backbone),
        workdir=pathlib.Path("runs/segmentation") / name,
    )
    if network.architecture == "upernet":
        return dataclasses.replace(
            run, training=SegmentationTraining(labels_at="first")
        )
    return dataclasses.replace(
        run,
        data=dataclasses.replace(
            run.data, crop_size=(480, 480), rotation=10.0, blur="gaussian"
        ),
        optimizer=SEMSEG,
        loop=Loop(epochs=100, evaluate_every=5000, save_every=1000),
    )
