"""Compile the training step of ResNet ahead of time for TPU pods.

Paper: table II of CARAFE++ (arXiv:2012.04733): batches of 1024, and larger.
Cost: minutes of a CPU for each variant; needs `pip install "jax[tpu]"`.
Shows: memory, operations and collectives per chip, and a predicted time, as a table and
aot.csv. The exit status is 1 if a step exceeds the memory or gathers an activation.
Command: python -m experiments.benchmarks.networks.aot
"""

import csv
import dataclasses
import pathlib
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from rich import box
from rich.console import Console
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig, Depth, Downsampler
from carafe_jax.tasks.classification import (
    ClassificationData,
    ClassificationTask,
    SourceContents,
)
from carafe_jax.train import SGD, Loop
from carafe_jax.train.mesh import batch_sharding
from carafe_jax.train.step import abstract_state, make_train_step
from experiments.benchmarks.networks.collectives import (
    bytes_of,
    collectives_of,
    gathered_activations,
)
from experiments.benchmarks.networks.pods import (
    MEMORY,
    Topology,
    mesh_of,
    prepare_compiler,
)
from experiments.benchmarks.networks.sizes import measure

_IMAGES_OF_A_NORM = 64  # As on each device of the paper.
# A v5e chip, by Google's pages on Cloud TPU: 819 GB/s of memory, 197 TFLOP/s in
# bfloat16, four links of 400 Gbit/s.
_BANDWIDTH, _PEAK, _LINKS = 819e9, 197e12, 4 * 400e9 / 8


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
class Result:
    """One compiled step; sizes in bytes per chip, times in seconds."""

    topology: str
    batch_size: int
    depth: int
    downsampler: str
    fully_sharded: bool
    arguments: int
    temporaries: int
    operations: float
    traffic: float
    reduced: int
    gathered: int
    activations_gathered: int
    compile_seconds: float

    @property
    def memory(self) -> int:
        """Memory of a step; the donated state counts once."""
        return self.arguments + self.temporaries

    @property
    def fits(self) -> bool:
        """Whether a chip has enough memory."""
        return self.memory <= MEMORY

    @property
    def predicted_seconds(self) -> float:
        """Time of a step: operations or memory traffic, the longer, plus collectives.

        A ring sends the bytes of a reduction twice, and those of a gather once.
        """
        links = (2 * self.reduced + self.gathered) / _LINKS
        return max(self.operations / _PEAK, self.traffic / _BANDWIDTH) + links


def main(config: Aot, console: Console) -> int:
    """Compile each variant and print the table."""
    prepare_compiler()
    results = []
    for topology, batch_size in zip(config.topologies, config.batch_sizes, strict=True):
        for downsampler in config.downsamplers:
            label = f"ResNet-{config.depth}, {downsampler}, {topology}, {batch_size}"
            with console.status(f"Compiling {label}"):
                results.append(compile_step(config, topology, batch_size, downsampler))
            _write(config.output, results)
    _draw(config, results, console)
    bad = [r for r in results if r.activations_gathered or not r.fits]
    for result in bad:
        what = "does not fit" if not result.fits else "gathers an activation"
        console.print(f"{result.downsampler} on {result.topology} {what}.")
    return int(bool(bad))


def compile_step(
    config: Aot, topology: Topology, batch_size: int, downsampler: Downsampler
) -> Result:
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
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        # JAX does not type the analyses of a compiled program.
        step: Any = make_train_step(task, loop, mesh=mesh)
        batch = _batch(batch_size, config.image_size, mesh)
        compiled: Any = step.lower(state, batch).compile()
    seconds = time.perf_counter() - began
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
    found = collectives_of(compiled.as_text())
    size = measure(model, image_size=config.image_size, classes=config.classes)
    return Result(
        topology=topology,
        batch_size=batch_size,
        depth=config.depth,
        downsampler=downsampler,
        fully_sharded=config.fully_sharded,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        # Forward and two gradients; XLA does not see into the kernels.
        operations=3 * 2 * size.multiply_adds * batch_size / mesh.size,
        traffic=float(costs.get("bytes accessed", 0.0)),
        reduced=bytes_of(found, "all-reduce", "reduce-scatter"),
        gathered=bytes_of(found, "all-gather", "all-to-all", "collective-permute"),
        activations_gathered=len(gathered_activations(found, state)),
        compile_seconds=seconds,
    )


def _batch(batch_size: int, side: int, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    sharding = batch_sharding(mesh)
    shapes = {
        "image": ((batch_size, side, side, 3), jnp.uint8),
        "label": ((batch_size,), jnp.int32),
    }
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        for name, (shape, dtype) in shapes.items()
    }


def _write(path: pathlib.Path, results: list[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        columns = [f.name for f in dataclasses.fields(Result)]
        writer = csv.DictWriter(file, [*columns, "predicted_seconds"])
        writer.writeheader()
        for result in results:
            row = dataclasses.asdict(result)
            writer.writerow({**row, "predicted_seconds": result.predicted_seconds})


def _draw(config: Aot, results: list[Result], console: Console) -> None:
    table = Table(
        title=f"Training step of ResNet-{config.depth}, bfloat16, per chip",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    for column in (
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
    ):
        table.add_column(column, justify="right")
    for r in results:
        table.add_row(
            r.topology,
            str(r.batch_size),
            r.downsampler,
            f"{r.memory / 2**30:.2f}",
            f"{r.operations / 1e12:.2f}",
            f"{r.traffic / 1e9:.1f}",
            f"{r.reduced / 1e6:.0f}",
            f"{r.gathered / 1e6:.0f}",
            f"{r.compile_seconds:.0f}",
            f"{1e3 * r.predicted_seconds:.0f}",
        )
    console.print(table)
    console.print(
        f"GiB: memory in use, of {MEMORY / 2**30:.0f}. TFLOP: of the network's "
        "products, forward and two gradients. GB: memory traffic, by XLA's estimate. "
        "MB: reduced and gathered by collectives. step: predicted time, the longer of "
        "operations at 197 TFLOP/s and memory traffic at 819 GB/s, plus collectives at "
        "200 GB/s; nothing was run."
    )
    console.print(f"Table: {config.output}", markup=False)


if __name__ == "__main__":
    run(main, Aot, doc=__doc__)
