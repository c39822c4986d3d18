"""Compile a training step for a TPU topology; print its contents as JSON.

This is a separate program, as a process can load the TPU compiler only once.
"""

import json
import math
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import carafe_jax

EXAMPLES_PER_CHIP, SIDE, CHANNELS = 2, 32, 128


class Block(nn.Module):
    """Convolutions around a down- and an up-sampling, with a batch norm."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return a map of the same size."""
        x = nn.Conv(CHANNELS, (1, 1), dtype=x.dtype, name="stem")(x)
        x = carafe_jax.CARAFEDownsample(name="down")(x)
        x = nn.Conv(CHANNELS, (3, 3), dtype=x.dtype, name="conv")(x)
        x = nn.BatchNorm(use_running_average=False, dtype=x.dtype, name="norm")(x)
        return carafe_jax.CARAFEUpsample(name="up")(nn.relu(x))


def compile_step(topology: str) -> tuple[str, Any]:
    """Return the compiled program of a step, as text, and the parameters' shapes."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    mesh = Mesh(
        np.array(devices.devices).reshape(4, -1),
        ("replica", "data"),
        axis_types=(AxisType.Auto, AxisType.Auto),
    )
    block, optimizer = Block(), optax.sgd(0.1, momentum=0.9)
    shape = (EXAMPLES_PER_CHIP * mesh.size, SIDE, SIDE, CHANNELS)
    x = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    variables = jax.eval_shape(block.init, jax.random.key(0), x)
    params = variables["params"]
    state = params, variables["batch_stats"], jax.eval_shape(optimizer.init, params)

    def step(state: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        params, statistics, moments = state

        def loss(params: Any) -> tuple[jax.Array, Any]:
            out, updated = block.apply(
                {"params": params, "batch_stats": statistics},
                x,
                mutable=["batch_stats"],
            )
            return jnp.mean((out.astype(jnp.float32) - x) ** 2), updated

        (value, updated), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        params = optax.apply_updates(params, updates)
        return (params, updated["batch_stats"], moments), value

    whole = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(("replica", "data")))
    with jax.set_mesh(mesh):
        compiled = (
            jax.jit(step, in_shardings=(whole, split), out_shardings=whole)
            .lower(state, x)
            .compile()
        )
    return compiled.as_text() or "", params


def main(topology: str) -> None:
    """Print the numbers of kernels and gathers, and the sizes of reductions."""
    text, params = compile_step(topology)
    reduced = re.findall(r"= (.*?) all-reduce(?:-start)?\(", text)
    sizes = [
        math.prod(int(size) for size in dims.split(",") if size)
        for shapes in reduced
        for dims in re.findall(r"\w+\[([\d,]*)\]", shapes)
    ]
    found = {
        "kernels": len(re.findall(r'custom_call_target="tpu_custom_call"', text)),
        "gathers": re.findall(r"all-gather|all-to-all|collective-permute", text),
        "reduced": sizes,
        "parameters": [x.size for x in jax.tree.leaves(params)],
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
