"""Pretrain the backbone of a small detector: a narrow ResNet-18 with CARAFE++.

Paper: section 4.1 of CARAFE++ (arXiv:2012.04733), scaled down: detectors start from a
backbone that was trained to classify, CARAFE++ included.
Cost: 4 epochs of crops of 112 px, 48 minutes on one CPU core beside other work.
Expected: no number in the paper.
Reached: imagenette at 128 px, 2026-12-01: top-1 51.4 %; the first epoch had the rate of
a run of ten.
Command: python -m experiments.classification.pretrain_small_backbone
A folder instead of TFDS: --data.source FOLDER (train/CLASS/*.jpg, val/CLASS/*.jpg)
The detector: python -m experiments.detection.compare_stems
"""

import pathlib

from carafe_jax.cli.train import train
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification import ClassificationData, ClassificationRun
from carafe_jax.train import Loop

RUN = ClassificationRun(
    data=ClassificationData(
        source="tfds:imagenette/160px-v2",
        image_size=112,
        resize_size=128,
        batch_size=64,
    ),
    network=ClassifierConfig(depth=18, width=32),
    loop=Loop(epochs=4, save_every=100),
    workdir=pathlib.Path("runs/classification/small_backbone"),
)

if __name__ == "__main__":
    train(RUN, doc=__doc__)
