"""Train ResNet-101 on ImageNet-1k.

Paper: table II of CARAFE++ (arXiv:2012.04733), the recipe of Goyal et al. 2017.
Cost: 90 epochs of batches of 1024; not run yet.
Expected: top-1 78.10 %, top-5 93.92 % (the paper's).
Reached: not run.
Command: python -m experiments.classification.imagenet_resnet101
A folder instead of TFDS: --data.source FOLDER (train/CLASS/*.jpg, val/CLASS/*.jpg)
One device: --loop.accumulate 16
"""

import pathlib

from carafe_jax.cli.train import train
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification import ClassificationRun

if __name__ == "__main__":
    config = ClassificationRun(
        network=ClassifierConfig(
            depth=101, downsampler="conv", dtype="bfloat16", norm_groups=16
        ),
        workdir=pathlib.Path("runs/classification/imagenet_resnet101"),
    )
    train(config, doc=__doc__)
