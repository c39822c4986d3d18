"""One step: accumulation, averages and collections."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import SGD, Auxiliary, Loop
from carafe_jax.train.mesh import make_mesh, put_batch
from carafe_jax.train.step import CompiledStep, init_state, make_train_step
from tests.train.toy import CountedBatches

RATE = 0.125
plain = SGD(
    learning_rate=RATE, momentum=0.0, weight_decay=0.0, warmup=0.0, milestones=()
)


class Line:
    """Linear regression without noise, which counts the examples that it saw."""

    best = "score"

    def steps_per_epoch(self):
        return 1

    def init(self, key):
        return {"params": {"w": jnp.ones(3)}, "statistics": {"seen": jnp.zeros(())}}

    def loss(self, variables, batch, key):
        error = batch["x"] @ variables["params"]["w"] - batch["y"]
        seen = variables["statistics"]["seen"] + len(error)
        aux = Auxiliary({"error": error.mean()}, {"statistics": {"seen": seen}})
        return jnp.square(error).mean(), aux

    def batches(self):
        return CountedBatches(8)

    def evaluators(self):
        return ()


class CountedLine(Line):
    """The same; examples with a positive third feature do not count."""

    def loss(self, variables, batch, key):
        error = batch["x"] @ variables["params"]["w"] - batch["y"]
        counts = batch["x"][:, 2] < 0
        weight = counts.sum().astype(jnp.float32)

        def mean(x):
            return jnp.where(counts, x, 0).sum() / jnp.maximum(weight, 1)

        aux = Auxiliary({"error": mean(error)}, {}, weight)
        return mean(jnp.square(error)), aux


def steps(loop, *, count=3, task=None):
    """States after each step, on the host, and the scalars of the last."""
    task, mesh = task or Line(), make_mesh()
    state = init_state(task, plain, loop, mesh=mesh)
    step = make_train_step(task, loop, mesh=mesh)
    batches, states = task.batches(), []
    scalars = {}
    for _ in range(count):
        state, scalars = step(state, put_batch(next(batches), mesh=mesh))
        states.append(jax.device_get(state))
    return states, scalars


@pytest.mark.parametrize("microbatches", [2, 8])
def test_microbatches_make_the_same_step(microbatches):
    whole, scalars = steps(Loop(steps=3))
    accumulated, summed = steps(Loop(steps=3, accumulate=microbatches))
    # Float32 sums in another order.
    chex.assert_trees_all_close(
        accumulated[-1].params, whole[-1].params, rtol=1e-5, atol=1e-6
    )
    chex.assert_trees_all_close(summed, scalars, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("microbatches", [2, 8])
def test_microbatches_weigh_as_much_as_the_examples_that_count(microbatches):
    loop = Loop(steps=3)
    whole, scalars = steps(loop, task=CountedLine())
    loop = dataclasses.replace(loop, accumulate=microbatches)
    accumulated, summed = steps(loop, task=CountedLine())
    # Float32 sums in another order.
    chex.assert_trees_all_close(
        accumulated[-1].params, whole[-1].params, rtol=1e-5, atol=1e-6
    )
    chex.assert_trees_all_close(summed, scalars, rtol=1e-4, atol=1e-6)


def test_batch_without_an_example_that_counts_has_no_gradient():
    class Nothing(CountedLine):
        def loss(self, variables, batch, key):
            batch = {**batch, "x": jnp.abs(batch["x"])}
            return super().loss(variables, batch, key)

    states, scalars = steps(Loop(steps=1, accumulate=2), count=1, task=Nothing())
    np.testing.assert_array_equal(states[0].params["w"], 1)
    assert scalars["loss"] == scalars["gradient_norm"] == 0


@pytest.mark.parametrize("microbatches", [1, 4])
def test_collections_pass_from_microbatch_to_microbatch_and_step_to_step(
    microbatches,
):
    states, _ = steps(Loop(steps=3, accumulate=microbatches))
    assert [int(s.collections["statistics"]["seen"]) for s in states] == [8, 16, 24]


def test_microbatches_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(RefusedError, match=r"`accumulate` must divide the 8 .* got 3"):
        steps(Loop(steps=3, accumulate=3))


def test_average_follows_the_parameters():
    states, _ = steps(Loop(steps=3, average_decay=0.75))
    average = np.ones(3)
    for state in states:
        average = 0.75 * average + 0.25 * state.params["w"]
        np.testing.assert_allclose(state.average["w"], average, rtol=1e-6)
    chex.assert_trees_all_equal(
        states[-1].evaluation_variables["params"], states[-1].average
    )


def test_without_an_average_the_parameters_are_the_best():
    states, _ = steps(Loop(steps=3))
    assert states[-1].average is None
    assert states[-1].evaluation_variables["params"] is states[-1].params


@pytest.mark.parametrize("accumulate", [1, 4])
def test_frozen_parameters_have_no_gradient(accumulate):
    class Two(Line):
        def init(self, key):
            return {"params": {"w": jnp.ones(3), "fixed": jnp.ones(3)}}

        def loss(self, variables, batch, key):
            params = variables["params"]
            error = batch["x"] @ (params["w"] + params["fixed"]) - batch["y"]
            return jnp.square(error).mean(), Auxiliary({}, {})

    def after_a_step(**frozen):
        optimizer = dataclasses.replace(plain, **frozen)
        loop, mesh = Loop(steps=1, accumulate=accumulate), make_mesh()
        state = init_state(Two(), optimizer, loop, mesh=mesh)
        step = make_train_step(Two(), loop, mesh=mesh, optimizer=optimizer)
        return step(state, put_batch(next(CountedBatches(8)), mesh=mesh))

    _, whole = after_a_step()
    state, scalars = after_a_step(frozen=("fixed",))
    np.testing.assert_array_equal(state.params["fixed"], 1)
    # Both parameters have equal gradients, whose joint norm is sqrt(2) times as large.
    np.testing.assert_allclose(
        scalars["gradient_norm"] * np.sqrt(2), whole["gradient_norm"], rtol=1e-5
    )


def test_step_is_compiled_for_each_shape_of_a_batch():
    task, mesh, loop = Line(), make_mesh(), Loop(steps=3)
    state = init_state(task, plain, loop, mesh=mesh)
    step = CompiledStep(make_train_step(task, loop, mesh=mesh))
    for size, known in ((8, False), (4, False), (8, True)):
        batch = put_batch(next(CountedBatches(size)), mesh=mesh)
        assert step.is_compiled_for(batch) == known
        if not known:
            step.compile(state, batch)
        state, _ = step(state, batch)
    assert int(state.step) == 3


def test_initializers_that_are_compiled_fast_give_the_same_numbers():
    class Drawn(Line):
        def init(self, key):
            drawn = jax.random.truncated_normal(key, -2.0, 2.0, (64, 8))
            return {"params": {"w": drawn}}

    def initial(disable: bool):
        jax.config.update("jax_disable_most_optimizations", disable)
        state: Any = init_state(Drawn(), plain, Loop(steps=1), mesh=make_mesh())
        return state.params["w"]

    before = jax.config.read("jax_disable_most_optimizations")
    try:
        drawn, again = initial(False), initial(False)
        # Float32 rounding of another order of operations.
        np.testing.assert_allclose(drawn, initial(True), atol=1e-6)
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
    np.testing.assert_array_equal(drawn, again)
    assert 0.7 < float(jnp.std(drawn)) < 1.0
