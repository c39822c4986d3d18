"""The step of a small Mask R-CNN on eight virtual devices."""

import json

import pytest

from tests.subprocesses import run_python

pytestmark = pytest.mark.weekly


@pytest.fixture(scope="module")
def found():
    output = run_python(
        *("-m", "tests.tasks.detection.mesh_step"),
        environment={"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"},
    )
    return json.loads(output)


def test_devices_exchange_gradients_and_scalars_alone(found):
    assert found["devices"] == 8
    assert found["others"] == []
    # Every gradient is summed, save those of frozen layers, and three counts.
    assert sum(found["reduced"]) > 0.9 * found["parameters"]


def test_eight_devices_choose_the_boxes_that_one_chooses(found):
    assert found["positives"] == [0, 1, 2, 3, 0, 1, 3, 3]
    assert min(found["detections"]) > 0
    assert found["different"] == []


def test_eight_devices_compute_what_one_computes(found):
    assert found["finite"]
    # Sums over the batch have another order: bounds far above rounding in float64.
    bounds = {"losses": 1e-12, "targets": 1e-12, "found": 1e-12, "grads": 1e-10}
    assert {name: found["errors"][name] < bounds[name] for name in bounds} == (
        dict.fromkeys(bounds, True)
    )
