"""Losses and gradients of whole detectors against mmdetection."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from carafe_jax.interop import mmdetection_to_flax
from carafe_jax.ops import strided_sampler
from carafe_jax.tasks.detection import detection_losses
from tests.detection_goldens import CASES_AND_DTYPES, check_close, load
from tests.detectors import batch_of, make_detector, training_settings, variables_of

_THEIRS = {
    "rpn_objectness": "loss_rpn_cls",
    "rpn_boxes": "loss_rpn_bbox",
    "classes": "loss_cls",
    "boxes": "loss_bbox",
    "masks": "loss_mask",
}

# The other cases have every layer and both dtypes.
_LONG = {("faster_rcnn_fpn", "float64"), ("faster_rcnn_dcnv2_fpn", "float32")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(*x, marks=pytest.mark.weekly if x in _LONG else ())
        for x in CASES_AND_DTYPES
    ],
)
def test_losses_and_gradients_equal_those_of_mmdetection(name, dtype):
    arrays, check = load(name), functools.partial(check_close, name=name)
    losses, grads = _losses_and_grads(name, dtype)
    for ours, theirs in _THEIRS.items():
        key = f"ref64_train/loss/{theirs}"
        expected = arrays[key].sum() if key in arrays else np.zeros(())
        check(getattr(losses, ours), expected, stage="losses")
    accuracy = arrays["ref64_train/loss/acc"].reshape(()) / 100
    check(losses.accuracy, accuracy, stage="losses")
    expected: Any = mmdetection_to_flax(_gradients(name))["params"]
    frozen = ("stem", "res2")
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        names = [part.key for part in path]
        if names[0] == "backbone" and names[1].startswith(frozen):
            assert not np.any(grad), names
            continue
        reference = expected
        for key in names:
            reference = reference[key]
        check(grad, reference, stage="gradients")


def _losses_and_grads(name, dtype):
    detector = make_detector(name)

    def total(params, rest, batch):
        losses = detection_losses(
            detector,
            {"params": params, **rest},
            batch,
            jax.random.key(0),
            settings=training_settings(name),
            sampler=strided_sampler,
        )
        return losses.total, losses

    with jax.enable_x64(dtype == "float64"):
        variables = dict(variables_of(name, dtype=dtype))
        params = variables.pop("params")
        grad = jax.jit(jax.grad(total, has_aux=True))
        grads, losses = grad(params, variables, batch_of(name, dtype=dtype))
        return jax.device_get((losses, grads))


def _gradients(name):
    """Return the gradients by mmdetection's names; of frozen weights, zeros."""
    arrays, state = load(name), {}
    for key, value in arrays.items():
        if key.startswith("state_dict/"):
            weight = key.removeprefix("state_dict/")
            state[weight] = arrays.get(f"ref64_train/grad/{weight}", 0 * value)
    return state
