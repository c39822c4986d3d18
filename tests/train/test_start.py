"""Initial state of a run: from a checkpoint, given weights or the initializers."""

import logging
import shutil
import signal
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import Adam, Loop, load_weights, restore_trained, train
from carafe_jax.train.mesh import make_mesh
from carafe_jax.train.step import init_state
from tests.train.test_loop import Killed
from tests.train.toy import Regression

optimizer = Adam(learning_rate=0.05, warmup_steps=2)
loop = Loop(steps=4)
GIVEN = np.array([3.0, 4.0, 5.0], np.float32)


def network():
    """Return variables like those of a network with a backbone and a head."""
    return {
        "params": {
            "backbone": {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)},
            "head": {"kernel": jnp.zeros((3, 4), jnp.bfloat16)},
        },
        "batch_stats": {"backbone": {"mean": jnp.zeros(3)}},
    }


def start(workdir, weights, task=None, **fields):
    """Start a run, of a task or of one that is stopped before its first step."""
    return train(
        task or Killed(0, signal.SIGTERM),
        optimizer=optimizer,
        loop=Loop(**{"steps": 4, **fields}),
        workdir=workdir,
        weights=weights,
    )


def test_weights_are_loaded_by_name_and_the_rest_is_reported():
    weights = {
        "params": {
            "backbone": {"kernel": np.ones((2, 3))},
            "head": {"kernel": np.ones((3, 1000))},
            "neck": {"kernel": np.ones(2)},
        },
        "batch_stats": {"backbone": {"mean": np.full(3, 2.0)}},
    }
    variables, report = load_weights(network(), weights)
    params: Any = variables["params"]
    np.testing.assert_array_equal(params["backbone"]["kernel"], 1)
    np.testing.assert_array_equal(params["head"]["kernel"], 0)
    np.testing.assert_array_equal(variables["batch_stats"]["backbone"]["mean"], 2)
    assert set(report.loaded) == {
        "params/backbone/kernel",
        "batch_stats/backbone/mean",
    }
    assert report.missing == ("params/backbone/bias",)
    assert report.reshaped == (
        "params/head/kernel (3, 1000) in the weights, (3, 4) in the network",
    )
    assert report.unexpected == ("params/neck/kernel",)


def test_report_has_few_lines_with_counts_and_first_names():
    names = {f"layer{i}": np.ones(1) for i in range(9)}
    weights = {"params": {**names, "backbone": {"bias": np.ones(3)}}}
    _, report = load_weights(network(), weights)
    assert report.lines() == [
        "Started from weights: 1 of 4 arrays loaded.",
        "3 missing in the weights, initialised: batch_stats/backbone/mean, "
        "params/backbone/kernel, params/head/kernel.",
        "9 unexpected in the weights, not used: params/layer0, params/layer1, "
        "params/layer2 and 6 more.",
    ]


def test_weights_are_cast_to_the_dtype_of_the_network():
    weights = {"params": {"head": {"kernel": np.full((3, 4), 1.5, np.float64)}}}
    variables, _ = load_weights(network(), weights)
    kernel: Any = variables["params"]["head"]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    np.testing.assert_array_equal(kernel, 1.5)


@pytest.mark.parametrize(
    "weights", [{}, {"params": {}}, {"params": {"other": np.ones(3)}}]
)
def test_weights_that_do_not_fit_at_all_are_refused(weights):
    with pytest.raises(RefusedError, match="must fit the network, got none"):
        load_weights(network(), weights)


def test_run_starts_from_given_weights(tmp_path, caplog):
    caplog.set_level(logging.INFO, "carafe_jax")
    outcome = start(tmp_path, {"params": {"w": GIVEN}}, average_decay=0.5)
    assert outcome.weights is not None
    assert outcome.weights.loaded == ("params/w",)
    assert "Started from weights: 1 of 3 arrays loaded." in caplog.messages
    state: Any = outcome.state
    np.testing.assert_array_equal(state.params["w"], GIVEN)
    np.testing.assert_array_equal(state.average["w"], GIVEN)


def test_given_weights_outlive_the_run(tmp_path):
    weights = {"params": {"w": jnp.asarray(GIVEN), "b": jnp.zeros(())}}
    start(tmp_path, weights)
    np.testing.assert_array_equal(weights["params"]["w"], GIVEN)


def test_run_with_a_checkpoint_is_resumed_and_ignores_weights(tmp_path):
    start(tmp_path / "a", None, task=Killed(1, signal.SIGTERM))
    whole = start(tmp_path / "a", None, task=Regression())
    start(tmp_path / "b", None, task=Killed(1, signal.SIGTERM))
    resumed = start(tmp_path / "b", {"params": {"w": GIVEN}}, task=Regression())
    assert resumed.weights is None
    chex.assert_trees_all_equal(resumed.state.params, whole.state.params)


def test_run_is_resumed_without_its_initializers(tmp_path, monkeypatch):
    start(tmp_path, None, task=Killed(1, signal.SIGTERM))

    def fails(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("carafe_jax.train.start.init_variables", fails)
    assert int(start(tmp_path, None, task=Regression()).state.step) == 4


def test_run_starts_from_what_another_has_learned(tmp_path):
    other = start(tmp_path / "other", None, task=Regression())
    weights, _ = restore_trained(tmp_path / "other", best="score", which="last")
    outcome = start(tmp_path / "run", weights)
    chex.assert_trees_all_equal(outcome.state.params, other.state.params)


def test_resumed_run_does_not_need_what_it_was_started_from(tmp_path):
    other = tmp_path / "other"
    start(other, None, task=Regression())

    def weights():
        return restore_trained(other, best="score", which="last")[0]

    first = start(tmp_path / "run", weights, task=Killed(1, signal.SIGTERM))
    assert first.weights is not None
    assert "params/w" in first.weights.loaded
    shutil.rmtree(other)
    resumed = start(tmp_path / "run", weights, task=Regression())
    assert int(resumed.state.step) == 4
    with pytest.raises(RefusedError, match="must have a last checkpoint"):
        start(tmp_path / "afresh", weights)


def test_initial_variables_are_those_of_the_task():
    state = init_state(Regression(), optimizer, loop, mesh=make_mesh())
    key = jax.random.split(jax.random.key(loop.seed))[0]
    expected: Any = Regression().init(key)
    chex.assert_trees_all_equal(state.params, expected["params"])
