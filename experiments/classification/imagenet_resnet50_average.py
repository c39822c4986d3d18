"""Train ResNet-50 with average pooling on ImageNet-1k.

Paper: the backbone pretrained for table III of CARAFE++ (arXiv:2012.04733), by the
recipe of table II (Goyal et al. 2017).
Cost: 90 epochs of batches of 1024; not run yet.
Expected: the paper reports detection results only.
Reached: not run.
Command: python -m experiments.classification.imagenet_resnet50_average
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
            depth=50, downsampler="average", dtype="bfloat16", norm_groups=16
        ),
        workdir=pathlib.Path("runs/classification/imagenet_resnet50_average"),
    )
    train(config, doc=__doc__)
