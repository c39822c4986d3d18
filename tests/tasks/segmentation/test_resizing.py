"""Sizes of photographs and label maps, as in CSAIL's code of early 2019."""

import numpy as np
import pytest

from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import resize_photograph
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.resizing import resize_labels, resized_size

DATA = SegmentationData(source="memory")


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((512, 683), 450, (450, 600)),  # 600.29 is truncated.
        ((683, 512), 450, (600, 450)),
        ((512, 683), 300, (300, 400)),
        ((256, 256), 600, (600, 600)),
        ((100, 900), 600, (133, 1200)),  # The long side is the limit.
        ((3, 4000), 300, (1, 1200)),
    ],
)
def test_sides_are_truncated_within_both_limits(size, short_side, expected):
    found = resized_size(Size(*size), short_side=short_side, long_side=1200)
    assert found == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 683), (480, 608)),
        ((683, 512), (608, 480)),
        ((256, 256), (480, 480)),
        ((100, 900), (160, 1216)),
        ((480, 640), (480, 608)),  # 450 x 600 is rounded up, not to the nearest.
    ],
)
def test_sides_of_test_photographs_are_rounded_up_to_32(size, expected):
    assert DATA.test_size(Size(*size)) == expected


def test_labels_are_those_of_the_nearest_pixels():
    labels = np.array([[0, 1, 2, 3], [4, 5, 6, 255]], np.uint8)
    doubled = resize_labels(labels, Size(4, 8))
    np.testing.assert_array_equal(doubled, labels.repeat(2, 0).repeat(2, 1))
    assert resize_labels(labels, Size(1, 2)).tolist() == [[0, 2]]


def test_photographs_are_resized_without_antialiasing():
    pixels = np.zeros((1, 8, 3), np.uint8)
    pixels[:, 3:5] = 200
    # Pixel i of the result is at 4i + 1.5 of the photograph: between two of its pixels.
    found = resize_photograph(pixels, Size(1, 2))
    assert found[0, :, 0].tolist() == [0, 0]
