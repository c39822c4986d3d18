"""Train a small Mask R-CNN from scratch, on a folder in COCO's form.

Paper: table VII of CARAFE++ (arXiv:2012.04733), on a ResNet-18 half as wide.
Cost: 550 steps of four crops of 256 px, 32 minutes on two busy CPU cores.
Expected: no number in the paper.
Reached: not run.
Command: python -m experiments.detection.small_mask_rcnn
Other photographs, in COCO's form: add --data.source FOLDER --workdir runs/FOLDER
"""

import pathlib

from carafe_jax.cli.train import train
from carafe_jax.models.detection import AnchorSettings, DetectorConfig, ProposalSettings
from carafe_jax.tasks.detection import (
    DetectionData,
    DetectionOptimizer,
    DetectionRun,
    DetectionTraining,
    SamplingSettings,
)
from carafe_jax.train import Adam, Loop

RUN = DetectionRun(
    data=DetectionData(
        source="runs/scenes",
        batch_size=4,
        short_side=512,
        long_side=512,
        largest_scale=1.0,
        crop_size=256,
        flips="both",
        turns="all",
        truncate_objects=True,
    ),
    network=DetectorConfig(
        depth=18,
        width=32,
        norms="batch",
        frozen_stages=-1,
        extra_level="pool",  # With and without CARAFE++: only up-samplers differ.
        fpn_features=64,
        box_hidden=256,
        mask_convs=2,
        anchors=AnchorSettings(scale=4.0),
    ),
    training=DetectionTraining(
        proposals=ProposalSettings(candidates=1000),
        proposal_sampling=SamplingSettings(count=256, positive_fraction=0.25),
    ),
    optimizer=DetectionOptimizer(
        method="adam",
        adam=Adam(learning_rate=8e-4, weight_decay=0.05, decay="polynomial"),
    ),
    loop=Loop(steps=550, evaluate_every=550, save_every=110),
    workdir=pathlib.Path("runs/detection/small_mask_rcnn"),
)

if __name__ == "__main__":
    train(RUN, doc=__doc__)
