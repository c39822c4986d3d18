"""Evaluation of a detector that is given the objects in place of pixels."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection.evaluator import DetectorEvaluator
from carafe_jax.tasks.detection.report import report_detections
from carafe_jax.train import Evaluator, SupportsPictures, TrainState
from tests.tasks.detection.small_set import SmallData, SmallSet, predict


def state(confidence=1.0, step=0):
    made = TrainState.create(
        apply_fn=predict,
        params={"confidence": jnp.float32(confidence)},
        tx=optax.sgd(0.1),
        collections={},
        average=None,
    )
    return made.replace(step=jnp.int32(step))


def test_every_photograph_counts_once():
    evaluator = DetectorEvaluator(predict, SmallData())
    assert isinstance(evaluator, Evaluator)
    assert isinstance(evaluator, SupportsPictures)
    numbers = evaluator.evaluate(state())
    assert numbers["box_ap"] == pytest.approx(1)
    # Masks of 4 x 4 cells that are full have rounded borders.
    assert numbers["mask_ap"] > 0.9
    assert numbers["box_ar1"] == pytest.approx(1)
    assert evaluator.evaluate(state(confidence=0))["box_ap"] == 0


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_numbers_do_not_depend_on_the_batches(batch_size):
    data = SmallData(moved=2.0)
    evaluator = DetectorEvaluator(predict, data)
    variables = state().evaluation_variables
    expected = evaluator.measure(variables, data.test_batches(batch_size=2))
    found = evaluator.measure(variables, data.test_batches(batch_size=batch_size))
    assert repr(found) == repr(expected)  # With NaN.
    assert 0 < found.numbers["box_ap"] < 1


def test_masks_are_left_out_where_the_data_have_none():
    evaluator = DetectorEvaluator(predict, SmallData(masks=False))
    numbers = evaluator.evaluate(state())
    assert not [name for name in numbers if name.startswith("mask")]


def test_unreadable_photographs_are_left_out():
    data = SmallData(held_out=SmallSet(unreadable=(0, 3)))
    evaluator = DetectorEvaluator(predict, data)
    quality = evaluator.measure_state(state())
    assert quality.images == 3
    assert quality.numbers["box_ap"] == pytest.approx(1)
    # Only readable photographs are drawn.
    assert evaluator.draw(state())["samples"].ndim == 3
    nothing = SmallData(held_out=SmallSet(unreadable=tuple(range(5))))
    with pytest.raises(RefusedError, match="that can be read, got none"):
        DetectorEvaluator(predict, nothing).evaluate(state())


def test_pictures_are_those_of_the_state():
    evaluator = DetectorEvaluator(predict, SmallData())
    evaluator.evaluate(state(step=4))
    found = evaluator.draw(state(step=4))["samples"]
    (expected,) = DetectorEvaluator(predict, SmallData()).draw(state()).values()
    np.testing.assert_array_equal(found, expected)
    empty = evaluator.draw(state(confidence=0, step=5))["samples"]
    assert empty.shape == found.shape
    assert (empty != found).any()


def test_report_of_a_run_has_pictures_and_classes(tmp_path):
    evaluator = DetectorEvaluator(predict, SmallData(), max_detections=(1, 2))
    results = report_detections(
        evaluator, state(), network_name="detector", workdir=tmp_path
    )
    assert results["detector"]["box_ar2"] == pytest.approx(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "per_class.csv",
        "samples.png",
    ]
