"""Masks encoded from the rows and columns around their box."""

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_tools

from carafe_jax.ops import paste_masks
from carafe_jax.run_length_codes import decode_mask
from carafe_jax.tasks.detection.mask_encoding import (
    DecodedMasks,
    encode_masks,
)


def encoded(masks, boxes, size):
    """Encode masks that are pasted into the whole photograph."""
    pasted = paste_masks(masks, boxes, size=size)
    pixels = np.asfortranarray(pasted.transpose(1, 2, 0).astype(np.uint8))
    whole: Any = mask_tools.encode(pixels)
    return [each["counts"] for each in whole]


@pytest.mark.parametrize("size", [(40, 60), (1, 70), (70, 1), (300, 7)])
@pytest.mark.parametrize("side", [1, 3, 28])
def test_masks_are_those_that_are_pasted(size, side):
    rng = np.random.default_rng(side)
    height, width = size
    # Inside, across the border, and outside.
    corners = rng.uniform(-0.3, 1.1, (60, 2)) * [width, height]
    sides = rng.uniform(0, 1, (60, 2)) ** 3 * [width, height]
    boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    boxes[:8] = boxes[:8].round()  # Centres of pixels lie on the borders of cells.
    masks = rng.uniform(0, 1, (60, side, side)).astype(np.float32)
    masks[::7] = 1
    found = encode_masks(masks, boxes, size=size)
    assert [each["counts"] for each in found] == encoded(masks, boxes, size)
    assert all(each["size"] == [height, width] for each in found)


@pytest.mark.parametrize(
    "box", [[0, 0, 6, 5], [0, 0, 6, 1], [5, 0, 6, 5], [0, 4, 1, 5], [2, 1, 4, 3]]
)
def test_full_masks_fill_their_boxes(box):
    boxes, masks = np.array([box], np.float32), np.ones((1, 28, 28), np.float32)
    found = encode_masks(masks, boxes, size=(5, 6))
    assert [each["counts"] for each in found] == encoded(masks, boxes, (5, 6))
    left, top, right, bottom = box
    expected = np.zeros((5, 6), bool)
    expected[top:bottom, left:right] = True
    np.testing.assert_array_equal(decode_mask(found[0]), expected)


def test_masks_of_boxes_without_area_are_empty():
    boxes = np.array([[3, 3, 3, 8], [9, 2, 4, 5], [70, 70, 90, 90]], np.float32)
    found = encode_masks(np.ones((3, 4, 4), np.float32), boxes, size=(20, 30))
    assert [decode_mask(each).sum() for each in found] == [0, 0, 0]
    assert decode_mask(found[0]).shape == (20, 30)


def test_masks_are_decoded_one_by_one():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 4, 4]], np.float32)
    found = DecodedMasks(
        encode_masks(np.ones((2, 2, 2), np.float32), boxes, size=(4, 4))
    )
    assert len(found) == 2
    assert found[1].sum() == 9
    assert found[0].dtype == bool
