"""Train a small UperNet from scratch, on CamVid or another folder with label maps.

Paper: tables VIII and IX of CARAFE++ (arXiv:2012.04733), scaled down: CARAFE++ in the
pyramid pooling, the feature pyramid and the fusion, on a ResNet-18 a quarter as wide.
Cost: 460 steps of eight crops of 256 x 192 px, 3,680 images.
Expected: no number in the paper.
Reached: the composed pictures, AMD EPYC, 2026-12-01: mean IoU 0.886, with bilinear
up-sampling as well.
Command: python -m experiments.segmentation.small_upernet
Another folder, with SPLIT/images, SPLIT/labels and classes.txt: --data.source FOLDER
The pictures of experiments.segmentation.scenes: add --data.crop-scales 0.7 1.6
"""

import math
import pathlib

from carafe_jax.cli.train import train
from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.segmentation import (
    SegmentationData,
    SegmentationOptimizer,
    SegmentationRun,
)
from carafe_jax.train import Adam, Loop

_ADAM = Adam(
    learning_rate=2e-3,
    muon_learning_rate=1e-2,
    warmup_steps=0,
    beta2=0.999,
    weight_decay=0.1,
    clip_norm=math.inf,
    decay="polynomial",
    power=0.9,
)
RUN = SegmentationRun(
    data=SegmentationData(
        source="camvid",
        batch_size=8,
        crop_size=(192, 256),
        # Photographs of 480 x 360 pixels are scaled to 0.7 to 1.6 of 256 x 192.
        crop_scales=(0.373, 0.853),
        short_sides=(192,),
        test_short_side=192,
        long_side=256,
    ),
    network=SegmenterConfig(
        depth=18,
        width=16,
        features=32,
        pooled_features=32,
        compressed_channels=(16, 16),  # 64 up would be twice the decoder's channels.
    ),
    optimizer=SegmentationOptimizer(method="adam", adam=_ADAM),
    loop=Loop(steps=460, evaluate_every=115, save_every=115),
    workdir=pathlib.Path("runs/segmentation/small_upernet"),
)

if __name__ == "__main__":
    train(RUN, doc=__doc__)
