"""Run checks on four devices; print a line for each check that passes.

This is a separate program, as a process cannot change its number of devices.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax.train import (
    Adam,
    DeviceFunction,
    Evaluator,
    Loop,
    ShardedPredictor,
    make_mesh,
    train,
)
from carafe_jax.train.mesh import put_value, state_shardings
from carafe_jax.train.step import init_state
from tests.train.test_evaluators import WEIGHTS, batches, product
from tests.train.toy import Regression


class Wide(Regression):
    """Regression with parameters that can be sharded over four devices."""

    def init(self, key):
        wide = 0.1 * jax.random.truncated_normal(key, -2.0, 2.0, (3, 8))
        return {"params": {"wide": wide}, "statistics": {"seen": jnp.zeros(())}}

    def loss(self, variables, batch, key):
        params = {"w": variables["params"]["wide"].mean(1), "b": jnp.zeros(())}
        return super().loss({**variables, "params": params}, batch, key)

    def evaluators(self) -> Sequence[Evaluator]:
        return ()


TASK = Wide(size=8)
OPTIMIZER = Adam(learning_rate=0.05, warmup_steps=0, decay="none")


def run(workdir: pathlib.Path, *, steps: int = 4, **fields: Any):
    loop = Loop(steps=steps, **fields)
    return train(TASK, optimizer=OPTIMIZER, loop=loop, workdir=workdir)


def predicts_batches_that_the_devices_cannot_share(_: pathlib.Path) -> None:
    valid = np.array([True, True, False, True, True, True])
    given = [*batches(6, valid=valid), *batches(5, 1)]
    predictor: Any = ShardedPredictor(product)
    found = list(predictor(WEIGHTS, given))
    for batch, outputs in zip(given, found, strict=True):
        x = batch["x"][batch.get("valid", slice(None))]
        np.testing.assert_array_equal(outputs["x"], x)
        np.testing.assert_allclose(
            outputs["y"], x @ WEIGHTS["params"]["w"], rtol=1e-5, atol=1e-6
        )


def adds_outputs_that_stay_on_the_devices(_: pathlib.Path) -> None:
    shardings: list[Any] = []

    def doubled(_: Any, x: jax.Array) -> jax.Array:
        return 2 * x

    def halved(_: Any, batch: Any) -> jax.Array:
        jax.debug.inspect_array_sharding(batch["y"], callback=shardings.append)
        return batch["y"] / 2

    before = DeviceFunction(doubled, takes="x", gives="y")
    predictor: Any = ShardedPredictor(halved, before=before)
    given = batches(5, 8)
    for batch, outputs in zip(given, predictor(WEIGHTS, given), strict=True):
        np.testing.assert_array_equal(outputs, batch["x"])
    assert shardings
    assert all(x.num_devices == 4 and not x.is_fully_replicated for x in shardings)


def predicts_with_sharded_variables(_: pathlib.Path) -> None:
    mesh = make_mesh()
    whole = {"params": {"w": np.ones((3, 8), np.float32)}}
    shardings = state_shardings(whole, mesh=mesh, fully_sharded=True)
    shards = jax.tree.map(put_value, whole, shardings)
    assert shards["params"]["w"].addressable_shards[0].data.shape == (3, 2)
    predictor: Any = ShardedPredictor(product, mesh=mesh)
    (outputs,) = predictor(shards, batches(4))
    np.testing.assert_allclose(
        outputs["y"], batches(4)[0]["x"] @ whole["params"]["w"], rtol=1e-5, atol=1e-6
    )


def initializers_give_the_same_numbers_in_shards(_: pathlib.Path) -> None:
    states = [
        init_state(
            TASK, OPTIMIZER, Loop(steps=4, fully_sharded=sharded), mesh=make_mesh()
        )
        for sharded in (False, True)
    ]
    wide: Any = states[1].params["wide"]
    assert wide.addressable_shards[0].data.shape == (3, 2)
    chex.assert_trees_all_equal(states[0].params, jax.device_get(states[1].params))


def trains_resumes_and_stays_sharded(folder: pathlib.Path) -> None:
    whole = run(folder / "whole", save_every=2)
    run(folder / "shards", steps=2, fully_sharded=True)
    shards = run(folder / "shards", fully_sharded=True)
    wide: Any = shards.state.params["wide"]
    assert wide.addressable_shards[0].data.shape == (3, 2)
    assert int(shards.state.step) == 4
    # The order of sums differs.
    chex.assert_trees_all_close(
        jax.device_get(shards.state.opt_state),
        jax.device_get(whole.state.opt_state),
        rtol=1e-4,
    )


def starts_sharded_from_weights(folder: pathlib.Path) -> None:
    given = np.full((3, 8), 0.5, np.float32)
    outcome = train(
        TASK,
        optimizer=OPTIMIZER,
        loop=Loop(steps=1, fully_sharded=True),
        workdir=folder / "weights",
        weights={"params": {"wide": given}},
    )
    wide: Any = outcome.state.params["wide"]
    assert wide.addressable_shards[0].data.shape == (3, 2)
    # A step of Adam is as long as the rate.
    np.testing.assert_allclose(wide, given, atol=0.051)


CHECKS = (
    predicts_batches_that_the_devices_cannot_share,
    adds_outputs_that_stay_on_the_devices,
    predicts_with_sharded_variables,
    initializers_give_the_same_numbers_in_shards,
    trains_resumes_and_stays_sharded,
    starts_sharded_from_weights,
)


if __name__ == "__main__":
    assert jax.device_count() == 4
    jax.config.update("jax_default_prng_impl", "threefry2x32")
    for check in CHECKS:
        check(pathlib.Path(sys.argv[1]))
        print(check.__name__, flush=True)  # noqa: T201
