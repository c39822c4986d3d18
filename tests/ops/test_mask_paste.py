"""Pasted masks against mmdetection's, and against sampling pixel by pixel."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import paste_masks
from tests import detection_goldens

GOLDEN = (
    pathlib.Path(__file__).parents[1] / "goldens" / "models/mask_paste_and_levels.npz"
)


@pytest.mark.parametrize("network", ["mask_rcnn_fpn", "mask_rcnn_fpn_carafe"])
def test_final_masks_are_those_of_mmdetection(network):
    golden = detection_goldens.load(network)
    # All twelve detections of the first image: logits of every class are stored.
    labels, expected = (golden[f"test/det/0/{name}"] for name in ("labels", "masks"))
    logits = golden["ref64_test/mask_logits"][np.arange(12), labels]
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    boxes = golden["ref64_test/det/0/bboxes"]
    pasted = paste_masks(probabilities, boxes, size=expected.shape[1:])
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_at_each_threshold_are_those_of_mmdetection(threshold, dtype):
    golden = np.load(GOLDEN)
    masks, boxes = golden["mask_prob"][:, 0].astype(dtype), golden["boxes"]
    expected = golden["pasted"] >= threshold
    pasted = paste_masks(masks, boxes, size=expected.shape[1:], threshold=threshold)
    np.testing.assert_array_equal(pasted, expected)


def sampled(mask, box, size):
    """Return the bilinear samples of a mask at all pixels, one by one."""
    padded, side = np.pad(mask, 1), len(mask)
    out = np.zeros(size)
    for row, column in np.ndindex(*size):
        y = (row + 0.5 - box[1]) / (box[3] - box[1]) * side + 0.5
        x = (column + 0.5 - box[0]) / (box[2] - box[0]) * side + 0.5
        i, j = int(np.floor(y)), int(np.floor(x))
        if 0 <= i <= side and 0 <= j <= side:
            square = padded[i : i + 2, j : j + 2]
            weights = np.outer([1 - (y - i), y - i], [1 - (x - j), x - j])
            out[row, column] = (square * weights).sum()
    return out


def test_masks_are_bilinear_samples_of_every_box():
    rng = np.random.default_rng(0)
    boxes = np.array(
        [
            [2.3, 1.1, 9.8, 12.4],
            [-4.2, -3.0, 6.1, 30.5],  # Reaches over two borders.
            [5.2, 4.9, 5.4, 5.1],  # Smaller than a pixel, between the centres.
            [3.4, 2.4, 3.6, 2.6],  # The same, around a centre.
            [-20.0, 2.0, -9.0, 8.0],  # Left of the image.
            [1.0, 40.0, 9.0, 60.0],  # Below it.
        ]
    )
    masks = rng.random((len(boxes), 5, 5))
    for threshold in (0.2, 0.5):
        pasted = paste_masks(masks, boxes, size=(17, 12), threshold=threshold)
        for found, mask, box in zip(pasted, masks, boxes, strict=True):
            expected = sampled(mask, box, (17, 12)) >= threshold
            np.testing.assert_array_equal(found, expected)


def test_a_mask_of_ones_fills_the_pixels_in_its_box():
    pasted = paste_masks(np.ones((1, 28, 28)), np.array([[2, 1, 6, 4]]), size=(6, 9))
    expected = np.zeros((1, 6, 9), bool)
    expected[:, 1:4, 2:6] = True
    np.testing.assert_array_equal(pasted, expected)


def test_the_mask_of_a_box_without_area_is_empty():
    boxes = np.array([[0, 0, 0, 0], [2, 2, 2, 6], [3, 5, 1, 2]], np.float32)
    assert not paste_masks(np.ones((3, 28, 28), np.float32), boxes, size=(8, 8)).any()


def test_no_masks_and_arrays_of_jax_are_pasted():
    none = paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), size=(8, 9))
    assert none.shape == (0, 8, 9)
    boxes = jnp.array([[0, 0, 8, 8]], jnp.bfloat16)
    pasted = paste_masks(jnp.ones((1, 4, 4), jnp.bfloat16), boxes, size=(8, 8))
    assert isinstance(pasted, np.ndarray)
    assert pasted.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0}, "`threshold` must lie between 0 and 1, got 0"),
        ({"size": (8,)}, r"`size` must be two numbers of at least 1, got \(8,\)"),
        ({"masks": np.ones((2, 4, 5))}, r"`masks` must have shape .* got \(2, 4, 5\)"),
        ({"boxes": np.ones((3, 4))}, r"`boxes` must have shape \(2, 4\), .* \(3, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {
        "masks": np.ones((2, 4, 4)),
        "boxes": np.ones((2, 4)),
        "size": (8, 9),
        **change,
    }
    with pytest.raises(RefusedError, match=message):
        paste_masks(**arguments)
