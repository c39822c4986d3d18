"""Cadences of evaluators, and sharded prediction."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import DeviceFunction, Loop, ShardedPredictor
from carafe_jax.train.evaluators import check_evaluators, due
from tests.train.toy import Scores

loop = Loop(steps=10, evaluate_every=4)
WEIGHTS = {"params": {"w": np.arange(3, dtype=np.float32)}}


def batches(*sizes, **fields):
    rng = np.random.default_rng(0)
    return [
        {"x": rng.normal(size=(size, 3)).astype(np.float32), **fields} for size in sizes
    ]


def product(variables, batch):
    return {"x": batch["x"], "y": batch["x"] @ variables["params"]["w"]}


@pytest.mark.parametrize(
    ("every", "steps"), [(None, [4, 8, 10]), (3, [3, 6, 9, 10]), (100, [10])]
)
def test_evaluator_is_due_at_its_own_cadence_and_at_the_end(every, steps):
    evaluator = Scores(every=every)
    found = [s for s in range(1, 11) if due([evaluator], step=s, loop=loop)]
    assert found == steps


def test_cadence_in_epochs_is_refused():
    with pytest.raises(RefusedError, match=r"must be in steps .* got None, a pass"):
        due([Scores()], step=1, loop=Loop(steps=10))


@pytest.mark.parametrize("names", [("a", "a"), ("test", "train")])
def test_evaluators_of_the_same_name_are_refused(names):
    with pytest.raises(RefusedError, match="names must differ, and none be 'train'"):
        check_evaluators([Scores(name=name) for name in names])


def test_invalid_cadence_is_refused():
    with pytest.raises(RefusedError, match=r"`every` of .* 'test' must .* got 0"):
        check_evaluators([Scores(every=0)])


def test_outputs_are_those_of_each_batch():
    given = batches(4, 4, 2)
    found: Any = list(ShardedPredictor(product)(WEIGHTS, given))
    assert [len(x["y"]) for x in found] == [4, 4, 2]
    for batch, outputs in zip(given, found, strict=True):
        np.testing.assert_allclose(
            outputs["y"], batch["x"] @ WEIGHTS["params"]["w"], rtol=1e-5
        )


def test_examples_that_are_not_valid_are_left_out():
    valid = np.array([True, False, True, False])
    (batch,) = batches(4, valid=valid)
    (outputs,) = ShardedPredictor(product)(WEIGHTS, [batch])
    np.testing.assert_array_equal(outputs["x"], batch["x"][valid])


def test_no_batches_have_no_outputs():
    assert list(ShardedPredictor(product)(WEIGHTS, [])) == []


def test_smaller_batches_need_no_program_of_their_own():
    traced = []

    def predict(variables, batch):
        traced.append(batch["x"].shape)
        return product(variables, batch)

    predictor = ShardedPredictor(predict)
    list(predictor(WEIGHTS, batches(4, 3, 1)))
    list(predictor(WEIGHTS, batches(4)))
    assert traced == [(4, 3)]


def test_predictors_share_a_function_that_is_compiled_once_for_what_it_takes():
    traced: dict[str, list[Any]] = {"sum": [], "predict": []}

    def summed(variables, x):
        traced["sum"].append(x.shape)
        return x.sum(1)

    def halved(variables, batch):
        traced["predict"].append(sorted(batch))
        return batch["sum"] / 2

    before = DeviceFunction(summed, takes="x", gives="sum")
    given = [{"x": np.ones((3, size), np.float32)} for size in (4, 8)]
    given += [{**given[1], "y": np.ones(3)}]
    for predict in (halved, lambda _, batch: batch["sum"]):
        outputs: Any = list(ShardedPredictor(predict, before=before)(WEIGHTS, given))
        scale = 0.5 if predict is halved else 1
        np.testing.assert_array_equal(
            [x[0] for x in outputs], np.array([4, 8, 8]) * scale
        )
    assert traced["sum"] == [(3, 4), (3, 8)]
    # What the function took is not there to compile for.
    assert traced["predict"] == [["sum", "valid"], ["sum", "valid", "y"]]


def test_function_sees_which_examples_are_valid():
    def predict(variables, batch):
        return jnp.where(batch["valid"], 1.0, jnp.nan)

    outputs = list(ShardedPredictor(predict)(WEIGHTS, batches(3, 2)))
    np.testing.assert_array_equal(np.concatenate(outputs), 1)


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_cadence_is_a_positive_integer(every):
    with pytest.raises(RefusedError, match="must be a positive integer or None, got"):
        check_evaluators([Scores(every=every)])


def test_name_of_an_evaluator_has_no_slash():
    with pytest.raises(RefusedError, match=r"must have no slash, .* got 'a/b'"):
        check_evaluators([Scores(name="a/b")])
