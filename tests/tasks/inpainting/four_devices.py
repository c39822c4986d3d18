"""Compare three adversarial steps on four devices and on one; print the collectives.

This is a separate program, as a process cannot change its number of devices.
"""

import dataclasses
import pathlib
import re
from typing import Any

import chex
import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from carafe_jax.train import SGD, make_mesh, put_batch
from carafe_jax.train.step import init_state, make_train_step
from tests.tasks.runs import adversarial

COLLECTIVES = r"(all-gather|all-to-all|all-reduce|collective-permute|reduce-scatter)\("


def in_float64(tree: Any) -> Any:
    """Return a tree with its float32 arrays in float64.

    At a kink of ReLU or of a loss, rounding decides between two gradients. In float32 a
    batch often has a value that close to a kink; in float64 it has none.
    """
    return jax.tree.map(
        lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, tree
    )


def compare() -> set[str]:
    """Compare the parameters; return the names of the collectives."""
    config = adversarial(pathlib.Path("unused"), convolution="partial")
    data = dataclasses.replace(config.data, batch_size=8, seed=3)
    config = dataclasses.replace(config, data=data)
    task = config.make_task()
    batch = in_float64(next(task.batches()))
    # Adam would turn gradients that are only rounding errors into large steps.
    optimizer = SGD(learning_rate=0.1)

    def params_and_program(mesh: Mesh):
        state = in_float64(init_state(task, optimizer, config.loop, mesh=mesh))
        step: Any = make_train_step(task, config.loop, mesh=mesh)
        placed = put_batch(batch, mesh=mesh)
        compiled = step.lower(state, placed).compile()
        for _ in range(3):
            state, _ = compiled(state, placed)
        return jax.device_get(state.params), compiled.as_text()

    one = jax.make_mesh((1,), ("batch",), (AxisType.Auto,), devices=jax.devices()[:1])
    four = make_mesh()
    assert four.size == 4
    expected, _ = params_and_program(one)
    params, program = params_and_program(four)
    # The order of sums differs.
    chex.assert_trees_all_close(params, expected, atol=1e-9)
    return set(re.findall(COLLECTIVES, program))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(*sorted(compare()))  # noqa: T201
