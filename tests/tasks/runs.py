"""Runs of a few steps of tiny networks, and consoles that record their output."""

import dataclasses
import signal

import numpy as np
from PIL import Image
from rich.console import Console

from carafe_jax.models import (
    ClassifierConfig,
    GlobalLocalConfig,
    PatchGANConfig,
    Resampler,
    UNetConfig,
)
from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.classification import ClassificationData, ClassificationRun
from carafe_jax.tasks.detection import (
    DetectionData,
    DetectionOptimizer,
    DetectionRun,
)
from carafe_jax.tasks.inpainting import (
    AdversarialInpaintingRun,
    InpaintingData,
    InpaintingRun,
)
from carafe_jax.tasks.segmentation import (
    SegmentationData,
    SegmentationOptimizer,
    SegmentationRun,
)
from carafe_jax.train import Adam, Loop
from tests import tiny_detectors


def inpainting(workdir, *, resampler: Resampler = "conv", steps=4, **fields):
    return InpaintingRun(
        network=UNetConfig(resampler=resampler, stage_features=(4, 8)),
        data=InpaintingData(crop_size=16, batch_size=2, test_crops=1, read_threads=0),
        loop=Loop(steps=steps, log_every=1, evaluate_every=2, save_every=2),
        workdir=workdir,
        **fields,
    )


def adversarial(workdir, *, steps=4, **generator):
    return AdversarialInpaintingRun(
        generator=GlobalLocalConfig(width=4, compressed_channels=(2, 2), **generator),
        discriminator=PatchGANConfig(features=(4, 4), kernel_size=3),
        data=InpaintingData(crop_size=16, batch_size=2, test_crops=1, read_threads=0),
        loop=Loop(steps=steps, log_every=1, evaluate_every=2, save_every=2),
        workdir=workdir,
    )


def classification(folder, workdir, *, epochs=2, **fields):
    return ClassificationRun(
        **{
            "data": ClassificationData(
                source=str(folder),
                image_size=16,
                resize_size=16,
                batch_size=4,
                read_threads=1,
            ),
            "network": ClassifierConfig(depth=18, width=2, downsampler="conv"),
            "loop": Loop(epochs=epochs, log_every=1),
            "workdir": workdir,
            **fields,
        }
    )


def detection(folder, workdir, *, steps=2, **fields):
    """Return a run of a network that compiles in seconds, trained from scratch."""
    return DetectionRun(
        **{
            "data": DetectionData(
                source=str(folder),
                batch_size=2,
                short_side=64,
                long_side=64,
                max_objects=4,
                read_threads=0,
                prefetch_batches=0,
            ),
            "network": dataclasses.replace(
                tiny_detectors.CONFIG, norms="batch", frozen_stages=-1
            ),
            "training": tiny_detectors.TRAINING,
            "optimizer": DetectionOptimizer(
                method="adam", adam=Adam(decay="polynomial", warmup_steps=1)
            ),
            "loop": Loop(steps=steps, log_every=1, evaluate_every=2, save_every=2),
            "workdir": workdir,
            **fields,
        }
    )


def segmentation(folder, workdir, *, steps=4, **fields):
    """Return a run of a tiny UperNet with bilinear interpolation."""
    return SegmentationRun(
        **{
            "data": SegmentationData(
                source=str(folder),
                batch_size=2,
                crop_size=(64, 64),
                test_short_side=32,
                short_sides=(32,),
                long_side=64,
                read_threads=0,
                prefetch_batches=0,
            ),
            "network": SegmenterConfig(
                depth=18,
                width=2,
                features=4,
                pooled_features=4,
                ppm_upsampler="bilinear",
                fpn_upsampler="bilinear",
                fuse_upsampler="bilinear",
                norm_momentum=0.5,
            ),
            "optimizer": SegmentationOptimizer(method="adam"),
            "loop": Loop(steps=steps, log_every=1, evaluate_every=2, save_every=2),
            "workdir": workdir,
            **fields,
        }
    )


def with_source(config, source):
    """Return a run on the data of another source."""
    data = dataclasses.replace(config.data, source=str(source))
    return dataclasses.replace(config, data=data)


def labelled_folder(root):
    """Write red and blue images, ten to train on and seven to test."""
    rng = np.random.default_rng(0)
    for split, counts in (("train", (6, 4)), ("val", (4, 3))):
        for channel, name, count in zip((0, 2), ("red", "sea"), counts, strict=True):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 60, size=(24, 20, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def call(main, config, *, width=200):
    """Return the exit status of a command and what it printed."""
    console = Console(record=True, width=width)
    return main(config, console), console.export_text()


class Stopping:
    """Batches that send their process a signal after some of them."""

    def __init__(self, batches, *, after):
        self.batches, self.left = batches, after

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        self.left -= 1
        return next(self.batches)

    def get_state(self):
        return self.batches.get_state()

    def set_state(self, state):
        self.batches.set_state(state)
