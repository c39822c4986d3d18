"""Compile the training step of Mask R-CNN ahead of time for a TPU slice.

Paper: section 5.1 of CARAFE++ (arXiv:2012.04733): 16 images a step.
Cost: 17 minutes of a CPU for one image on each chip; needs `pip install "jax[tpu]"`.
Shows: memory and collectives per chip, as a table and detection_aot.csv. The exit
status is 1 if a step exceeds the memory, or has a collective other than a sum of
gradients or scalars.
Command: python -m experiments.benchmarks.networks.detection_aot
"""

import csv
import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from rich import box
from rich.console import Console
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.models import Depth
from carafe_jax.models.detection import DetectorConfig
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionBatch,
    DetectionTraining,
    GroundTruth,
    detection_losses,
)
from carafe_jax.train.mesh import batch_sharding, replicated
from experiments.benchmarks.networks.collectives import (
    Collective,
    bytes_of,
    collectives_of,
    other_elements,
    reduces_gradients,
)
from experiments.benchmarks.networks.pods import (
    MEMORY,
    Topology,
    mesh_of,
    prepare_compiler,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionAot:
    """Steps to compile: each batch size of a chip."""

    topology: Topology = "v5e:4x4"
    """Slice of chips."""
    images: tuple[int, ...] = (1, 2)
    """Images of a step on each chip."""
    height: int = 832
    """Rows of the padded images."""
    width: int = 1344
    """Columns of the padded images."""
    objects: int = 100
    """Slots for the objects of an image."""
    depth: Depth = 50
    """Layers of the ResNet."""
    classes: int = 80
    """Number of classes."""
    output: pathlib.Path = pathlib.Path("runs/detection/detection_aot.csv")
    """The table as a file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One compiled step; sizes in bytes per chip."""

    topology: str
    images: int
    height: int
    width: int
    depth: int
    arguments: int
    temporaries: int
    all_reduces: int
    reduced: int
    others: str
    compile_seconds: float

    @property
    def memory(self) -> int:
        """Memory of a step; the donated state counts once."""
        return self.arguments + self.temporaries

    @property
    def fits(self) -> bool:
        """Whether a chip has enough memory."""
        return self.memory <= MEMORY


def main(config: DetectionAot, console: Console) -> int:
    """Compile each step and print the table."""
    prepare_compiler()
    results: list[Result] = []
    for images in config.images:
        with console.status(f"Compiling for {images} images on each chip"):
            results.append(compile_step(config, images))
        _write(config.output, results)
    _draw(config, results, console)
    console.print(f"Table: {config.output}", markup=False)
    bad = [r for r in results if r.others or not r.fits]
    for r in bad:
        what = f"has {r.others}" if r.others else "does not fit"
        console.print(f"The step of {r.images} images {what}.", markup=False)
    return int(bool(bad))


def compile_step(config: DetectionAot, images: int) -> Result:
    """Compile one step and analyse the program."""
    mesh = mesh_of(config.topology)
    detector = DetectorConfig(depth=config.depth, dtype="bfloat16").make(config.classes)
    optimizer = optax.sgd(0.02, momentum=0.9)
    batch = abstract_batch(config, images * mesh.size, mesh)
    variables = jax.eval_shape(
        detector.init, jax.random.key(0), batch.images, batch.image_sizes
    )
    params = variables["params"]
    state = (params, variables["batch_stats"], jax.eval_shape(optimizer.init, params))
    state = jax.tree.map(functools.partial(_placed, sharding=replicated(mesh)), state)
    key = jax.eval_shape(lambda: jax.random.key(0))
    key = _placed(key, sharding=replicated(mesh))

    def step(state: Any, batch: DetectionBatch, key: jax.Array) -> tuple[Any, Any]:
        params, statistics, moments = state

        def loss(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": statistics}
            settings = DetectionTraining()
            losses = detection_losses(
                detector, variables, batch, key, settings=settings
            )
            return losses.total, losses

        grads, losses = jax.grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), statistics, moments), losses

    began = time.perf_counter()
    with jax.set_mesh(mesh):
        # JAX does not type the analyses of a compiled program.
        jitted: Any = jax.jit(
            step, donate_argnums=0, out_shardings=(replicated(mesh), replicated(mesh))
        )
        compiled: Any = jitted.lower(state, batch, key).compile()
    seconds = time.perf_counter() - began
    memory, found = compiled.memory_analysis(), collectives_of(compiled.as_text())
    other = [one for one in found if not reduces_gradients(one, params)]
    return Result(
        topology=config.topology,
        images=images,
        height=config.height,
        width=config.width,
        depth=config.depth,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        all_reduces=_count(found, "all-reduce"),
        reduced=bytes_of(found, "all-reduce"),
        others="; ".join(
            f"{one.kind} of {other_elements(one, params)}" for one in other
        ),
        compile_seconds=seconds,
    )


def abstract_batch(config: DetectionAot, images: int, mesh: Mesh) -> DetectionBatch:
    """Return the shapes of the batch of all chips."""
    size, slots = (config.height, config.width), (images, config.objects)

    def array(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=batch_sharding(mesh))

    return DetectionBatch(
        images=array((images, *size, 3), jnp.float32),
        image_sizes=array((images, 2), jnp.int32),
        padded_sizes=array((images, 2), jnp.int32),
        truth=GroundTruth(
            boxes=Boxes(array((*slots, 4), jnp.float32), array(slots, jnp.bool)),
            classes=array(slots, jnp.int32),
            masks=array((*slots, *size), jnp.uint8),
        ),
        weights=array((images,), jnp.float32),
    )


def _placed(x: Any, *, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _count(found: list[Collective], kind: str) -> int:
    return sum(one.kind == kind for one in found)


def _write(path: pathlib.Path, results: list[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in dataclasses.fields(Result)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(result) for result in results)


def _draw(config: DetectionAot, results: list[Result], console: Console) -> None:
    table = Table(
        title=f"Training step of Mask R-CNN R{config.depth} with CARAFE++, bfloat16, "
        f"{config.height} x {config.width}, per chip",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    for column in (
        "slice",
        "images",
        "GiB of\narguments",
        "GiB",
        "all-reduces",
        "MB\nreduced",
        "compile\n(s)",
    ):
        table.add_column(column, justify="right")
    for r in results:
        table.add_row(
            r.topology,
            str(r.images),
            f"{r.arguments / 2**30:.2f}",
            f"{r.memory / 2**30:.2f}",
            str(r.all_reduces),
            f"{r.reduced / 1e6:.0f}",
            f"{r.compile_seconds:.0f}",
        )
    console.print(table)
    console.print(
        f"GiB: memory in use, arguments included, of {MEMORY / 2**30:.0f}. Nothing was "
        "run."
    )


if __name__ == "__main__":
    run(main, DetectionAot, doc=__doc__)
