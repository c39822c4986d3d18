"""Compile the training step of Mask R-CNN ahead of time for a TPU slice.

Paper: section 5.1 of CARAFE++ (arXiv:2012.04733): 16 images a step.
Cost: 17 minutes of a CPU for one image on each chip; needs `pip install "jax[tpu]"`.
Shows: memory and collectives per chip, as a table and detection_aot.csv. The exit
status is 1 if a step exceeds the memory, or has a collective other than a sum of
gradients or scalars.
Command: python -m experiments.benchmarks.networks.detection_aot
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models.detection import DetectorConfig
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionBatch,
    DetectionTraining,
    GroundTruth,
    detection_losses,
)
from experiments.benchmarks.networks.pod_steps import (
    PodSteps,
    Training,
    compile_pod_steps,
)
from experiments.benchmarks.networks.pods import batch_array


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionAot(PodSteps):
    """Steps to compile: each number of images on a chip."""

    height: int = 832
    width: int = 1344
    objects: int = 100
    """Slots for the objects of an image."""
    classes: int = 80
    output: pathlib.Path = pathlib.Path("runs/detection/detection_aot.csv")


def main(config: DetectionAot, console: Console) -> int:
    """Compile each step and print the table."""
    detector = DetectorConfig(depth=config.depth, dtype="bfloat16").make(config.classes)

    def losses(variables: Any, batch: DetectionBatch, key: jax.Array) -> Any:
        settings = DetectionTraining()
        found = detection_losses(detector, variables, batch, key, settings=settings)
        return found.total, {}

    def training_of(images: int, mesh: Mesh) -> Training:
        batch = abstract_batch(config, images, mesh)
        key = jax.random.key(0)
        variables = jax.eval_shape(detector.init, key, batch.images, batch.image_sizes)
        return Training(batch=batch, variables=variables, losses=losses)

    title = f"Mask R-CNN R{config.depth} with CARAFE++, bfloat16"
    return compile_pod_steps(config, training_of, title=title, console=console)


def abstract_batch(config: DetectionAot, images: int, mesh: Mesh) -> DetectionBatch:
    """Return the shapes of the batch of all chips."""
    size, slots = (config.height, config.width), (images, config.objects)
    sizes = batch_array((images, 2), jnp.int32, mesh)
    return DetectionBatch(
        images=batch_array((images, *size, 3), jnp.float32, mesh),
        image_sizes=sizes,
        padded_sizes=sizes,
        truth=GroundTruth(
            boxes=Boxes(
                batch_array((*slots, 4), jnp.float32, mesh),
                batch_array(slots, jnp.bool, mesh),
            ),
            classes=batch_array(slots, jnp.int32, mesh),
            masks=batch_array((*slots, *size), jnp.uint8, mesh),
        ),
        weights=batch_array((images,), jnp.float32, mesh),
    )


if __name__ == "__main__":
    run(main, DetectionAot, doc=__doc__)
