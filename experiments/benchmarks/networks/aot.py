"""Compile the training step of ResNet ahead of time for TPU pods.

Paper: table II of CARAFE++ (arXiv:2012.04733): batches of 1024, and larger.
Cost: minutes of a CPU for each variant; needs `pip install "jax[tpu]"`.
Shows: memory, operations and collectives per chip, and a predicted time, as a table and
aot.csv. The exit status is 1 if a step exceeds the memory or gathers an activation.
Command: python -m experiments.benchmarks.networks.aot
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import jax.numpy as jnp
from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig, Depth, Downsampler
from carafe_jax.tasks.classification import (
    ClassificationData,
    ClassificationTask,
    SourceContents,
)
from carafe_jax.train import SGD, Loop
from carafe_jax.train.step import abstract_state, make_train_step
from experiments.benchmarks.networks.collectives import (
    bytes_of,
    gathered_activations,
)
from experiments.benchmarks.networks.compiled_steps import (
    CompiledStep,
    compile_and_report,
    compile_step,
)
from experiments.benchmarks.networks.pods import (
    MEMORY,
    Topology,
    batch_array,
    mesh_of,
)
from experiments.benchmarks.networks.sizes import measure

_IMAGES_OF_A_NORM = 64  # As on each device of the paper.
# A v5e chip, by Google's pages on Cloud TPU: 819 GB/s of memory, 197 TFLOP/s in
# bfloat16, four links of 400 Gbit/s.
_BANDWIDTH, _PEAK, _LINKS = 819e9, 197e12, 4 * 400e9 / 8
_HEADER = (
    "slice",
    "batch",
    "down-\nsampler",
    "GiB",
    "TFLOP",
    "GB",
    "MB\nreduced",
    "MB\ngathered",
    "compile\n(s)",
    "step\n(ms)",
)
_NOTE = (
    f"GiB: memory in use, of {MEMORY / 2**30:.0f}. TFLOP: of the network's products, "
    "forward and two gradients. GB: memory traffic, by XLA's estimate. MB: reduced and "
    "gathered by collectives. step: predicted time, the longer of operations at 197 "
    "TFLOP/s and memory traffic at 819 GB/s, plus collectives at 200 GB/s; nothing was "
    "run."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aot:
    """Steps to compile: each topology with its batch, each down-sampler."""

    topologies: tuple[Topology, ...] = ("v5e:4x4", "v5e:16x16")
    """Slices of chips."""
    batch_sizes: tuple[int, ...] = (1024, 8192)
    """Images of a step, for each of `topologies`."""
    depth: Depth = 50
    """Layers of the ResNet."""
    downsamplers: tuple[Downsampler, ...] = ("conv", "carafe")
    """Down-samplers of the network."""
    image_size: int = 224
    """Side of the images, in pixels."""
    classes: int = 1000
    """Number of classes."""
    rematerialize: Literal["nothing", "blocks"] = "nothing"
    """"blocks" recomputes the activations in the backward pass."""
    fully_sharded: bool = False
    """Each chip holds a shard of the parameters and of the optimizer's state."""
    output: pathlib.Path = pathlib.Path("runs/classification/aot.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        if len(self.batch_sizes) != len(self.topologies):
            raise RefusedError(
                f"`batch_sizes` must be {len(self.topologies)}, one for each of "
                f"`topologies`, got {self.batch_sizes}."
            )
        for size in self.batch_sizes:
            if size % _IMAGES_OF_A_NORM or size < 1:
                raise RefusedError(
                    "`batch_sizes` must be positive multiples of the "
                    f"{_IMAGES_OF_A_NORM} images that a norm sees, got {size}."
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierStep:
    """One compiled step; bytes and operations per chip."""

    topology: Topology
    batch_size: int
    depth: Depth
    downsampler: Downsampler
    fully_sharded: bool
    compiled: CompiledStep
    operations: float
    """Of the network's products, forward and two gradients."""
    activations_gathered: int
    """Collectives that gather activations."""

    @property
    def reduced(self) -> int:
        """Bytes that collectives reduce."""
        return bytes_of(self.compiled.collectives, "all-reduce", "reduce-scatter")

    @property
    def gathered(self) -> int:
        """Bytes that collectives gather and exchange."""
        kinds = ("all-gather", "all-to-all", "collective-permute")
        return bytes_of(self.compiled.collectives, *kinds)

    @property
    def predicted_seconds(self) -> float:
        """Time of a step: operations or memory traffic, the longer, plus collectives.

        A ring sends the bytes of a reduction twice, and those of a gather once.
        """
        links = (2 * self.reduced + self.gathered) / _LINKS
        traffic = self.compiled.traffic / _BANDWIDTH
        return max(self.operations / _PEAK, traffic) + links

    def columns(self) -> dict[str, Any]:
        """Return the row of the file, by column."""
        return {
            "topology": self.topology,
            "batch_size": self.batch_size,
            "depth": self.depth,
            "downsampler": self.downsampler,
            "fully_sharded": self.fully_sharded,
            "arguments": self.compiled.arguments,
            "temporaries": self.compiled.temporaries,
            "operations": self.operations,
            "traffic": self.compiled.traffic,
            "reduced": self.reduced,
            "gathered": self.gathered,
            "activations_gathered": self.activations_gathered,
            "compile_seconds": self.compiled.seconds,
            "predicted_seconds": self.predicted_seconds,
        }

    def cells(self) -> tuple[str, ...]:
        """Return the row of the printed table."""
        return (
            self.topology,
            str(self.batch_size),
            self.downsampler,
            f"{self.compiled.memory / 2**30:.2f}",
            f"{self.operations / 1e12:.2f}",
            f"{self.compiled.traffic / 1e9:.1f}",
            f"{self.reduced / 1e6:.0f}",
            f"{self.gathered / 1e6:.0f}",
            f"{self.compiled.seconds:.0f}",
            f"{1e3 * self.predicted_seconds:.0f}",
        )

    def problem(self) -> str | None:
        """Return a sentence about a step that is too large or gathers activations."""
        if not self.compiled.fits:
            return f"{self.downsampler} on {self.topology} does not fit."
        if self.activations_gathered:
            return f"{self.downsampler} on {self.topology} gathers an activation."
        return None


def main(config: Aot, console: Console) -> int:
    """Compile each variant and print the table."""
    return compile_and_report(
        {
            f"ResNet-{config.depth}, {downsampler}, {topology}, {batch_size}": (
                functools.partial(
                    compile_variant, config, topology, batch_size, downsampler
                )
            )
            for topology, batch_size in zip(
                config.topologies, config.batch_sizes, strict=True
            )
            for downsampler in config.downsamplers
        },
        title=f"Training step of ResNet-{config.depth}, bfloat16, per chip",
        header=_HEADER,
        note=_NOTE,
        output=config.output,
        console=console,
    )


def compile_variant(
    config: Aot, topology: Topology, batch_size: int, downsampler: Downsampler
) -> ClassifierStep:
    """Compile one variant and analyse the program."""
    mesh = mesh_of(topology)
    model = ClassifierConfig(
        depth=config.depth,
        downsampler=downsampler,
        dtype="bfloat16",
        norm_groups=batch_size // _IMAGES_OF_A_NORM,
        rematerialize=config.rematerialize,
    )
    data = ClassificationData(
        source="", image_size=config.image_size, batch_size=batch_size
    )
    names = tuple(map(str, range(config.classes)))
    task = ClassificationTask(model, data, source=SourceContents(names, 0, 0))
    loop = Loop(steps=1, fully_sharded=config.fully_sharded)
    state = abstract_state(task, SGD(), loop, mesh=mesh)
    sides = (config.image_size, config.image_size)
    compiled = compile_step(
        make_train_step(task, loop, mesh=mesh),
        state,
        {
            "image": batch_array((batch_size, *sides, 3), jnp.uint8, mesh),
            "label": batch_array((batch_size,), jnp.int32, mesh),
        },
        mesh=mesh,
    )
    size = measure(model, image_size=config.image_size, classes=config.classes)
    return ClassifierStep(
        topology=topology,
        batch_size=batch_size,
        depth=config.depth,
        downsampler=downsampler,
        fully_sharded=config.fully_sharded,
        compiled=compiled,
        # Forward and two gradients; XLA does not see into the kernels.
        operations=3 * 2 * size.multiply_adds * batch_size / mesh.size,
        activations_gathered=len(gathered_activations(compiled.collectives, state)),
    )


if __name__ == "__main__":
    run(main, Aot, doc=__doc__)
