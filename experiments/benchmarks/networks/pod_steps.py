"""Training steps that are compiled ahead of time for a TPU slice: what a chip needs."""

import csv
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from rich import box
from rich.console import Console
from rich.table import Table

from carafe_jax.arguments import check_count
from carafe_jax.errors import RefusedError
from carafe_jax.models import Depth
from carafe_jax.train.mesh import batch_sharding, replicated
from experiments.benchmarks.networks.collectives import (
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

Losses = Callable[[Any, Any, Any, jax.Array], tuple[jax.Array, Any]]
"""Function of parameters, collections, batch and key: the loss, and updated
collections."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PodSteps:
    """Steps to compile: each number of images on a chip."""

    topology: Topology = "v5e:4x4"
    """Slice of chips."""
    images: tuple[int, ...] = (1, 2)
    """Images of a step on each chip."""
    height: int
    """Rows of the padded images."""
    width: int
    """Columns of the padded images."""
    depth: Depth = 50
    """Layers of the ResNet."""
    output: pathlib.Path
    """The table as a file."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            check_count(name, getattr(self, name))
        if not self.images or min(self.images) < 1:
            raise RefusedError(
                f"`images` must be one or more positive numbers, got {self.images}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What a step trains and on what, as shapes."""

    variables: Any
    """Parameters under "params", and other collections."""
    batch: Any
    """Arrays of the batch of all chips."""
    losses: Losses
    """The loss to minimise."""


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


def compile_and_report(
    config: PodSteps,
    program_of: Callable[[int, Mesh], Program],
    *,
    title: str,
    console: Console,
) -> int:
    """Compile each step, write the file and print the table.

    Args:
      config: Steps to compile.
      program_of: Makes the program for a number of images on all chips.
      title: Name of the network and of its dtype.
      console: Console for the table.

    Returns:
      The exit status: 1 if a step exceeds the memory, or has a collective other than a
      sum of arrays of the parameters' sizes (gradients, statistics of batch norms) or
      of scalars; else 0.
    """
    prepare_compiler()
    results: list[Result] = []
    for images in config.images:
        with console.status(f"Compiling for {images} images on each chip"):
            results.append(_compile_step(config, images, program_of))
        _write(config.output, results)
    title = f"Training step of {title}, {config.height} x {config.width}, per chip"
    _draw(results, title, console)
    console.print(f"Table: {config.output}", markup=False)
    bad = [r for r in results if r.others or not r.fits]
    for r in bad:
        what = f"has {r.others}" if r.others else "does not fit"
        console.print(f"The step of {r.images} images {what}.", markup=False)
    return int(bool(bad))


def _compile_step(
    config: PodSteps, images: int, program_of: Callable[[int, Mesh], Program]
) -> Result:
    """Compile one step with momentum and analyse the program."""
    mesh = mesh_of(config.topology)
    program = program_of(images * mesh.size, mesh)
    optimizer = optax.sgd(0.02, momentum=0.9)
    collections = dict(program.variables)
    params = collections.pop("params")
    state = (params, collections, jax.eval_shape(optimizer.init, params))
    key = jax.eval_shape(lambda: jax.random.key(0))
    place = functools.partial(_placed, sharding=replicated(mesh))
    state, key = jax.tree.map(place, (state, key))

    def step(state: Any, batch: Any, key: jax.Array) -> Any:
        params, collections, moments = state

        def loss(params: Any) -> tuple[jax.Array, Any]:
            return program.losses(params, collections, batch, key)

        grads, updated = jax.grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(grads, moments, params)
        params = optax.apply_updates(params, updates)
        return params, {**collections, **updated}, moments

    began = time.perf_counter()
    with jax.set_mesh(mesh):
        # JAX does not type the analyses of a compiled program.
        jitted: Any = jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))
        compiled: Any = jitted.lower(state, program.batch, key).compile()
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
        all_reduces=sum(one.kind == "all-reduce" for one in found),
        reduced=bytes_of(found, "all-reduce"),
        others="; ".join(
            f"{one.kind} of {other_elements(one, params)}" for one in other
        ),
        compile_seconds=seconds,
    )


def batch_array(shape: tuple[int, ...], dtype: Any, mesh: Mesh) -> Any:
    """Return the shape of an array of the batch, which is split over the chips."""
    return jax.ShapeDtypeStruct(shape, dtype, sharding=batch_sharding(mesh))


def image_sizes(images: int, mesh: Mesh) -> Any:
    """Return the shape of the sizes of the images of a batch."""
    return batch_array((images, 2), jnp.int32, mesh)


def _placed(x: Any, *, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _write(path: pathlib.Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in dataclasses.fields(Result)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(result) for result in results)


def _draw(results: Sequence[Result], title: str, console: Console) -> None:
    table = Table(
        title=title,
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
