"""Optimizers of detection runs."""

import dataclasses
from typing import Any

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection import DetectionData, DetectionOptimizer, DetectionRun
from carafe_jax.train import SGD, Adam

EPOCH = 7330  # Steps of COCO at 16 images.


def test_default_is_the_recipe_of_mmdetection():
    sgd: Any = DetectionRun().optimization
    schedule = sgd.schedule(12 * EPOCH)
    expected = {
        0: 2e-5,
        250: 0.02 * (0.001 + 0.999 / 2),
        500: 0.02,
        8 * EPOCH - 1: 0.02,
        8 * EPOCH: 0.002,
        11 * EPOCH - 1: 0.002,
        11 * EPOCH: 0.0002,
    }
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-4), step
    assert (sgd.momentum, sgd.nesterov, sgd.weight_decay) == (0.9, False, 1e-4)
    assert sgd.decayed == "all"


def test_rate_of_sgd_is_scaled_with_the_batch_and_that_of_adam_is_not():
    run = DetectionRun(data=DetectionData(source="none", batch_size=4))
    assert run.optimization.learning_rate == pytest.approx(0.005)
    adam = DetectionOptimizer(method="adam", adam=Adam(learning_rate=8e-4))
    run = dataclasses.replace(run, optimizer=adam)
    assert run.optimization.learning_rate == 8e-4


@pytest.mark.parametrize("method", ["sgd", "adam"])
def test_stages_of_the_network_that_are_frozen_are_frozen_by_the_optimizer(method):
    run = DetectionRun(optimizer=DetectionOptimizer(method=method))
    optimizer = run.optimization
    for path in ("backbone/stem/conv1/kernel", "backbone/res2_1/norm1/scale"):
        assert optimizer.is_frozen(path)
    assert not optimizer.is_frozen("backbone/res3_1/norm1/scale")
    assert not optimizer.is_frozen("fpn/lateral_2/kernel")


def test_fields_of_the_optimizer_that_is_not_used_are_refused():
    with pytest.raises(RefusedError, match=r"`method` must be 'adam' for `adam\.learn"):
        DetectionOptimizer(adam=Adam(learning_rate=2e-3, weight_decay=0.05))
    with pytest.raises(RefusedError, match=r"`method` must be 'sgd' for .*`sgd\.momen"):
        DetectionOptimizer(method="adam", sgd=SGD(momentum=0.5))
