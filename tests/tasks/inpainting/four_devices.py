"""Three adversarial steps on four devices and on one; prints what they exchanged.

A program of its own, because the number of devices is set when JAX starts.
"""

import dataclasses
import pathlib
import re
from typing import Any

import chex
import jax
from jax.sharding import AxisType, Mesh

from carafe_jax.train import SGD, make_mesh, put_batch
from carafe_jax.train.step import init_state, make_train_step
from tests.tasks.runs import adversarial

COLLECTIVES = r"(all-gather|all-to-all|all-reduce|collective-permute|reduce-scatter)\("


def compare() -> set[str]:
    """Compare the parameters; return the names of the collectives."""
    config = adversarial(pathlib.Path("unused"), convolution="partial")
    # Of a seed whose batch has no value at a kink of the losses or of ReLU, where
    # rounding would choose between two gradients.
    data = dataclasses.replace(config.data, batch_size=8, seed=3)
    config = dataclasses.replace(config, data=data)
    task = config.make_task()
    batch = next(task.batches())
    # Adam would make large steps of gradients that are nothing but rounding.
    optimizer = SGD(learning_rate=0.1)

    def params_and_program(mesh: Mesh):
        state = init_state(task, optimizer, config.loop, mesh=mesh)
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
    # Sums are taken in another order.
    chex.assert_trees_all_close(params, expected, atol=1e-5)
    return set(re.findall(COLLECTIVES, program))


if __name__ == "__main__":
    print(*sorted(compare()))  # noqa: T201
