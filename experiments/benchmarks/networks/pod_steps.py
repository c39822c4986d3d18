"""Training steps on large images, compiled ahead of time for a TPU slice."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from rich.console import Console

from carafe_jax.arguments import check_count
from carafe_jax.errors import RefusedError
from carafe_jax.models import Depth
from carafe_jax.train.mesh import replicated
from experiments.benchmarks.networks.collectives import (
    bytes_of,
    other_elements,
    reduces_gradients,
)
from experiments.benchmarks.networks.compiled_steps import (
    CompiledStep,
    compile_and_report,
    compile_step,
)
from experiments.benchmarks.networks.pods import MEMORY, Topology, mesh_of

_HEADER = (
    "slice",
    "images",
    "GiB of\narguments",
    "GiB",
    "all-reduces",
    "MB\nreduced",
    "compile\n(s)",
)
_NOTE = (
    f"GiB: memory in use, arguments included, of {MEMORY / 2**30:.0f}. Nothing was run."
)


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
    classes: int
    """Number of classes."""
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
class Training:
    """What a step trains, and on what, as shapes."""

    batch: Any
    """Arrays of the batch of all chips."""
    variables: Any
    """Parameters under "params", and other collections."""
    losses: Callable[[Any, Any, jax.Array], tuple[jax.Array, Any]]
    """Function of variables, batch and key: the loss to minimise, and updated
    collections."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PodStep:
    """One compiled step."""

    config: PodSteps
    images: int
    compiled: CompiledStep
    others: str
    """Collectives other than sums of gradients or scalars."""

    @property
    def reduced(self) -> int:
        """Bytes that collectives reduce."""
        return bytes_of(self.compiled.collectives, "all-reduce")

    @property
    def all_reduces(self) -> int:
        """Number of reductions."""
        return sum(one.kind == "all-reduce" for one in self.compiled.collectives)

    def columns(self) -> dict[str, Any]:
        """Return the row of the file, by column."""
        return {
            "topology": self.config.topology,
            "images": self.images,
            "height": self.config.height,
            "width": self.config.width,
            "depth": self.config.depth,
            "arguments": self.compiled.arguments,
            "temporaries": self.compiled.temporaries,
            "all_reduces": self.all_reduces,
            "reduced": self.reduced,
            "others": self.others,
            "compile_seconds": self.compiled.seconds,
        }

    def cells(self) -> tuple[str, ...]:
        """Return the row of the printed table."""
        return (
            self.config.topology,
            str(self.images),
            f"{self.compiled.arguments / 2**30:.2f}",
            f"{self.compiled.memory / 2**30:.2f}",
            str(self.all_reduces),
            f"{self.reduced / 1e6:.0f}",
            f"{self.compiled.seconds:.0f}",
        )

    def problem(self) -> str | None:
        """Return a sentence about a step with other collectives, or too large."""
        if self.others:
            return f"The step of {self.images} images has {self.others}."
        if not self.compiled.fits:
            return f"The step of {self.images} images does not fit."
        return None


def compile_pod_steps(
    config: PodSteps,
    training_of: Callable[[int, Mesh], Training],
    *,
    title: str,
    console: Console,
) -> int:
    """Compile each step with momentum, write the file and print the table.

    Args:
      config: Steps to compile.
      training_of: Returns the training on a number of images on all chips.
      title: Name of the network and of its dtype.
      console: Console for the table.

    Returns:
      The exit status: 1 if a step exceeds the memory, or has a collective other than a
      sum of arrays of the parameters' sizes (gradients, statistics of batch norms) or
      of scalars; else 0.
    """

    def compile_variant(images: int) -> PodStep:
        mesh = mesh_of(config.topology)
        return _compile(config, images, training_of(images * mesh.size, mesh), mesh)

    return compile_and_report(
        {
            f"for {images} images on each chip": functools.partial(
                compile_variant, images
            )
            for images in config.images
        },
        title=f"Training step of {title}, {config.height} x {config.width}, per chip",
        header=_HEADER,
        note=_NOTE,
        output=config.output,
        console=console,
    )


def _compile(config: PodSteps, images: int, training: Training, mesh: Mesh) -> PodStep:
    optimizer = optax.sgd(0.02, momentum=0.9)
    collections = dict(training.variables)
    params = collections.pop("params")
    state = (params, collections, jax.eval_shape(optimizer.init, params))
    key = jax.eval_shape(lambda: jax.random.key(0))
    place = functools.partial(_placed, sharding=replicated(mesh))
    state, key = jax.tree.map(place, (state, key))

    def step(state: Any, batch: Any, key: jax.Array) -> Any:
        params, collections, moments = state

        def loss(params: Any) -> tuple[jax.Array, Any]:
            return training.losses({"params": params, **collections}, batch, key)

        grads, updated = jax.grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(grads, moments, params)
        params = optax.apply_updates(params, updates)
        return params, {**collections, **updated}, moments

    jitted = jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))
    compiled = compile_step(jitted, state, training.batch, key, mesh=mesh)
    others = (x for x in compiled.collectives if not reduces_gradients(x, params))
    return PodStep(
        config=config,
        images=images,
        compiled=compiled,
        others="; ".join(f"{x.kind} of {other_elements(x, params)}" for x in others),
    )


def _placed(x: Any, *, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
