"""Train ResNet-101 with CARAFE++ on ImageNet-1k.

Paper: table II of CARAFE++ (arXiv:2012.04733), the recipe of Goyal et al. 2017.
Cost: 90 epochs of batches of 1024. Nobody has run it to the end yet.
Expected: top-1 78.70 %, top-5 94.31 % (the paper's); reached: not run.
Command: python -m experiments.classification.imagenet_resnet101_carafe
A folder instead of TFDS: --data.source FOLDER (train/CLASS/*.jpg, val/CLASS/*.jpg)
One device: --accumulate 16
"""

import pathlib

from carafe_jax.models import ClassifierConfig as Model
from carafe_jax.train import run
from experiments.classification.training import Classification, main

if __name__ == "__main__":
    config = Classification(
        model=Model(depth=101, downsampler="carafe", dtype="bfloat16", norm_groups=16),
        workdir=pathlib.Path("runs/classification/imagenet_resnet101_carafe"),
    )
    run(main, config, doc=__doc__)
