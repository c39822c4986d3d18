"""Run the operator on meshes of four virtual CPU devices; print results as JSON.

This is a separate program, as a process cannot change its number of devices after it
has used JAX.
"""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "4"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import carafe_jax
from carafe_jax import ops
from carafe_jax.ops.reassembly import blocks
from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase

COLLECTIVES = "all-gather", "all-to-all", "all-reduce", "collective-permute"
KERNEL_SIZE, GROUPS = 3, 2
LARGEST_BLOCK = blocks._BLOCK_BYTES


@dataclasses.dataclass(frozen=True)
class Situation:
    """A mesh, the sharding of the arrays, and the call of the operator."""

    shape: tuple[int, ...] = (4,)
    axis_type: str = "Auto"
    within: bool = True
    """Whether the call is inside `jax.set_mesh`."""
    call: str = "jit"
    """"jit", "vmap", or "shard_map" for a call inside the user's `shard_map`."""
    scale: int | str = 2
    block_bytes: int | None = None
    """Size of the blocks of plain JAX. None: the default."""
    batch: int = 8
    height: int = 4
    width: int = 5
    groups: int = GROUPS
    logits: bool = False
    """Whether the operator takes logits instead of kernels."""
    implementation: ops.Implementation | None = "xla"
    shared: bool = False
    """Whether all devices have the same kernels, inside the user's `shard_map`."""
    batch_axes: tuple[str, ...] | None = None
    row_axes: tuple[str, ...] = ()
    channel_axes: tuple[str, ...] = ()
    split: tuple[str | tuple[str, ...] | None, ...] = ("a",)
    """Partition spec of features and cotangent."""

    @property
    def case(self) -> Case:
        return Case(
            self.scale,
            kernel_size=KERNEL_SIZE,
            groups=self.groups,
            shape=(self.batch, self.height, self.width, 8),
        )


def function(s: Situation) -> Callable[..., tuple[Any, ...]]:
    """Return a function of the arrays that returns output and both gradients."""

    def reassemble(features: Any, kernels: Any) -> Any:
        if not s.logits:
            return carafe_jax.reassemble(
                features, kernels, scale=s.scale, implementation=s.implementation
            )
        return ops.reassemble_logits(
            features,
            kernels,
            kernel_size=KERNEL_SIZE,
            groups=s.groups,
            scale=s.scale,
            implementation=s.implementation,
        )

    def run(features: Any, kernels: Any, cotangent: Any) -> tuple[Any, ...]:
        with contextlib.ExitStack() as stack:
            if s.batch_axes is not None:
                stack.enter_context(carafe_jax.batch_axes(*s.batch_axes))
            stack.enter_context(carafe_jax.row_axes(*s.row_axes))
            stack.enter_context(carafe_jax.channel_axes(*s.channel_axes))
            if s.implementation not in ("xla", None):
                stack.enter_context(ops.interpret_kernels())
            out, pull_back = jax.vjp(reassemble, features, kernels)
            return out, *pull_back(cotangent)

    return run


def draw(s: Situation) -> tuple[Any, Any, Any]:
    """Draw features, kernels or logits, and a cotangent."""
    if s.logits:
        return LaunchCase(s.case, normalizer="softmax").draw()
    return s.case.draw(np.float32, np.float32)


def specs(s: Situation) -> tuple[PartitionSpec, ...]:
    """Return the partition specs of the arrays.

    Kernels are split as the features, over channels only if there are groups.
    """
    maps = PartitionSpec(*s.split)
    if s.shared:
        return maps, PartitionSpec(), maps
    rest: tuple[Any, ...] = ()
    if len(s.split) == 4 and s.groups > 1 and not s.logits:
        rest = (None, None, s.split[3])
    return maps, PartitionSpec(*(s.split[:1] if rest else s.split[:2]), *rest), maps


def share_kernels(
    run: Callable[..., tuple[Any, ...]], arrays: tuple[Any, ...], *, devices: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return arrays with one set of kernels for all devices, and expected results."""
    features, kernels, cotangent = arrays
    kernels = kernels[: len(kernels) // devices]
    repeated = np.concatenate([kernels] * devices)
    out, grad_features, grad_kernels = jax.jit(run)(features, repeated, cotangent)
    summed = grad_kernels.reshape(devices, *kernels.shape).sum(0)
    return (features, kernels, cotangent), (out, grad_features, summed)


def examine(s: Situation) -> dict[str, Any]:
    """Return the error against one device, and the collectives of the program."""
    blocks._BLOCK_BYTES = s.block_bytes or LARGEST_BLOCK
    names = ("a", "b")[: len(s.shape)]
    axis_type = getattr(AxisType, s.axis_type)
    mesh = jax.make_mesh(s.shape, names, axis_types=(axis_type,) * len(names))
    run, arrays = function(s), draw(s)
    if s.call == "vmap":
        run = jax.vmap(run, in_axes=(1, 0, 1), out_axes=1)
        arrays = (
            np.stack([arrays[0]] * 2, 1),
            np.stack([arrays[1]] * 2),
            np.stack([arrays[2]] * 2, 1),
        )
    expected = jax.jit(run)(*arrays)
    if s.shared:
        arrays, expected = share_kernels(run, arrays, devices=mesh.size)
    split = specs(s)
    if s.call == "vmap":
        split = (split[0], PartitionSpec(None, *split[1]), split[2])
    on_mesh = run
    if s.call == "shard_map":
        results = split[2], split[0], split[1]
        on_mesh = jax.shard_map(run, mesh=mesh, in_specs=split, out_specs=results)
    with jax.set_mesh(mesh) if s.within else contextlib.nullcontext():
        placed = [
            jax.device_put(x, NamedSharding(mesh, spec))
            for x, spec in zip(arrays, split, strict=True)
        ]
        compiled = jax.jit(on_mesh).lower(*placed).compile()
        results = compiled(*placed)
    text = compiled.as_text() or ""
    return {
        "error": max(
            float(jnp.max(jnp.abs(np.asarray(x) - np.asarray(y)), initial=0))
            for x, y in zip(results, expected, strict=True)
        ),
        "split": [not x.sharding.is_fully_replicated for x in results],
        "collectives": [name for name in COLLECTIVES if f" {name}" in text],
    }


def attempt(s: Situation) -> dict[str, Any]:
    """Return the results of `examine`, or the error that it raised."""
    try:
        return examine(s)
    except (NotImplementedError, ValueError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}


def read(options: dict[str, Any]) -> Situation:
    """Return a situation from JSON, which has no tuples."""
    return Situation(**{name: _tuples(value) for name, value in options.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    print(json.dumps([attempt(read(s)) for s in json.load(sys.stdin)]))  # noqa: T201
