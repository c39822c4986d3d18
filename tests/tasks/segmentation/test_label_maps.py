"""Label maps at the size of photographs, against CSAIL's evaluation and by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.metrics import confusion_matrix, segmentation_quality
from carafe_jax.nn import resize_bilinear
from carafe_jax.tasks.segmentation.label_maps import label_maps
from carafe_jax.tasks.segmentation.outputs import confusion_matrices
from tests import segmentation_goldens as goldens
from tests.models.segmentation.test_reference_networks import (
    SLOW,
    UPERNET,
    UperNet,
    narrow,
)
from tests.segmentation_goldens import nhwc, section


def test_label_maps_and_scores_are_those_of_csail():
    golden = goldens.load("upernet_csail_evaluation")
    network: Any = UperNet(narrow((1, 1, 1, 1), SLOW), 7, **UPERNET)
    variables = goldens.csail_variables(section(golden, "state_dict/"))
    image = jnp.asarray(nhwc(golden["input/0"]))
    logits = jax.jit(network.apply)(variables, image)
    height, width = golden["label"].shape[-2:]
    sizes = jnp.array([[height, width]])
    (predicted,) = label_maps([logits], sizes, shape=(48, 64))
    assert not np.any(predicted[height:])
    assert not np.any(predicted[:, width:])
    scores = np.moveaxis(golden["ref64_output/0"][0], 0, -1)
    best = np.sort(scores, -1)
    # Where float32 cannot tell the two best classes apart, either may be chosen.
    clear = best[..., -1] - best[..., -2] > 1e-5
    assert clear.mean() > 0.99
    predicted = np.asarray(predicted)[:height, :width]
    np.testing.assert_array_equal(predicted[clear], scores.argmax(-1)[clear])
    # The scores of the whole evaluation, from the label map of its three scales.
    labels = golden["label"].reshape(height, width).astype(int)
    matrix = confusion_matrix(
        np.where(labels < 0, 255, labels),
        golden["pred"].reshape(height, width).astype(int),
        classes=7,
    )
    quality = segmentation_quality(matrix)
    np.testing.assert_allclose(quality.iou, golden["iou"].ravel(), rtol=1e-6)
    assert quality.mean_iou == pytest.approx(float(golden["mean_iou"]), rel=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
def test_label_maps_are_the_largest_of_the_resized_logits(align_corners):
    logits = np.random.default_rng(0).normal(size=(3, 7, 5, 4)).astype(np.float32)
    sizes = [(40, 31), (1, 1), (9, 50)]
    found = label_maps(
        [jnp.asarray(logits)],
        jnp.array(sizes),
        shape=(41, 50),
        align_corners=align_corners,
    )
    assert found.shape == (3, 41, 50)
    assert found.dtype == np.uint8
    for index, size in enumerate(sizes):
        resized = resize_bilinear(
            logits[index : index + 1], size=size, align_corners=align_corners
        )
        expected = resized[0].argmax(-1)
        height, width = size
        np.testing.assert_array_equal(found[index, :height, :width], expected)


@pytest.mark.parametrize("align_corners", [False, True])
def test_probabilities_of_several_views_are_averaged(align_corners):
    rng = np.random.default_rng(0)
    shapes, classes = [(7, 5), (9, 6), (3, 4)], 4
    # Large logits, whose largest mean is often another class than their largest sum.
    views = [4 * rng.normal(size=(2, *shape, classes)) for shape in shapes]
    sizes = [(40, 31), (9, 50)]
    found = label_maps(
        [jnp.asarray(view, jnp.float32) for view in views],
        jnp.array(sizes),
        shape=(41, 50),
        align_corners=align_corners,
    )
    for index, (height, width) in enumerate(sizes):
        resized = [
            numpy_resize(view[index], (height, width), align_corners=align_corners)
            for view in views
        ]
        exponentials = [np.exp(x - x.max(-1, keepdims=True)) for x in resized]
        mean = np.mean([x / x.sum(-1, keepdims=True) for x in exponentials], axis=0)
        assert (mean.argmax(-1) != np.sum(resized, 0).argmax(-1)).mean() > 0.01
        best = np.sort(mean, -1)
        clear = best[..., -1] - best[..., -2] > 1e-5  # Else float32 may choose either.
        assert clear.mean() > 0.99
        own = np.asarray(found[index, :height, :width])
        np.testing.assert_array_equal(own[clear], mean.argmax(-1)[clear])
        assert not np.any(found[index, height:])


def numpy_resize(logits, size, *, align_corners):
    """Resize a map bilinearly, in float64."""
    for axis, resized in enumerate(size):
        length = logits.shape[axis]
        places = np.arange(resized)
        sources = (places + 0.5) * length / resized - 0.5
        if align_corners:
            sources = places * (length - 1) / (resized - 1)
        sources = np.clip(sources, 0, length - 1)
        before = np.minimum(sources.astype(int), length - 2)
        part = np.expand_dims(sources - before, [1 - axis, 2])
        first, second = (np.take(logits, before + x, axis=axis) for x in (0, 1))
        logits = (1 - part) * first + part * second
    return logits


def test_confusion_matrices_are_those_of_the_metric():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, size=(2, 6, 7)).astype(np.uint8)
    labels[labels == 4] = 255
    predicted = rng.integers(0, 4, size=(2, 6, 7)).astype(np.uint8)
    found = confusion_matrices(jnp.asarray(labels), jnp.asarray(predicted), classes=4)
    expected = [
        confusion_matrix(x, y, classes=4)
        for x, y in zip(labels, predicted, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)
