"""Compile the training step of UperNet ahead of time for a TPU slice.

Paper: section 5.1 of CARAFE++ (arXiv:2012.04733): 16 images a step.
Cost: minutes of a CPU for each number of images; needs `pip install "jax[tpu]"`.
Shows: memory and collectives per chip, as a table and segmentation_aot.csv. The exit
status is 1 if a step exceeds the memory, or has a collective other than a sum of
gradients, of statistics of batch norms or of scalars.
Command: python -m experiments.benchmarks.networks.segmentation_aot
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.segmentation.loss import segmentation_losses
from experiments.benchmarks.networks.pod_steps import (
    PodSteps,
    Training,
    compile_pod_steps,
)
from experiments.benchmarks.networks.pods import batch_array


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationAot(PodSteps):
    """Steps to compile: each number of images on a chip."""

    height: int = 608
    width: int = 800
    classes: int = 150
    output: pathlib.Path = pathlib.Path("runs/segmentation/segmentation_aot.csv")


def main(config: SegmentationAot, console: Console) -> int:
    """Compile each step and print the table."""
    network = SegmenterConfig(
        depth=config.depth, downsampler="carafe", dtype="bfloat16"
    ).make(config.classes)

    def losses(variables: Any, batch: Any, key: jax.Array) -> Any:
        found = segmentation_losses(
            network, variables, batch, key, dtype="bfloat16", labels_at="centre"
        )
        return found.total, dict(found.collections)

    def training_of(images: int, mesh: Mesh) -> Training:
        size = (images, config.height, config.width)
        batch = {
            "image": batch_array((*size, 3), jnp.uint8, mesh),
            "image_size": batch_array((images, 2), jnp.int32, mesh),
            "label": batch_array(size, jnp.uint8, mesh),
        }
        variables = jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3))
        )
        return Training(batch=batch, variables=variables, losses=losses)

    title = f"UperNet R{config.depth} with CARAFE++ in four places, bfloat16"
    return compile_pod_steps(config, training_of, title=title, console=console)


if __name__ == "__main__":
    run(main, SegmentationAot, doc=__doc__)
