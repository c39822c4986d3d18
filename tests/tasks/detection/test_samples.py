"""Sheets of test photographs."""

import numpy as np
import pytest

from carafe_jax.tasks.detection.samples import draw_samples
from tests.tasks.detection.small_set import CROWDED, SmallSet
from tests.tasks.detection.test_quality import perfect


def test_sheet_has_a_row_for_each_photograph():
    sheet = draw_samples(SmallSet(), perfect(SmallSet()), side=100)
    # Heights of the photographs at a longer side of 100 pixels, and gaps. The title of
    # the first column is wider than they are.
    assert sheet.shape[::2] == (26 + 67 + 100 + 100 + 15 + 67 + 5 * 4, 3)
    assert sheet.shape[1] > 2 * 100 + 4
    assert sheet.dtype == np.uint8


def test_detections_below_the_threshold_are_not_drawn():
    found = {0: perfect(SmallSet(), score=0.4)[0]}
    plain = draw_samples(SmallSet(), {0: []}, side=100)
    hidden, drawn = (
        draw_samples(SmallSet(), found, side=100, score_threshold=threshold)
        for threshold in (0.5, 0.4)
    )
    body = (slice(26, None), slice(0, 100))
    np.testing.assert_array_equal(hidden[body], plain[body])
    assert (drawn[body] != plain[body]).any()


def test_crowds_are_not_drawn_as_objects():
    sheet = draw_samples(SmallSet(), {CROWDED: []}, side=90)
    left, right = sheet[26:116, :60], sheet[26:116, -60:]
    # The bar is the crowd; the square is the object.
    np.testing.assert_array_equal(left[50:80, 30:], right[50:80, 30:])
    assert (left[:30] != right[:30]).any()


@pytest.mark.parametrize("unreadable", [(0,), (0, 1, 2, 3, 4)])
def test_photographs_that_cannot_be_read_are_left_out(unreadable):
    results = perfect(SmallSet())
    sheet = draw_samples(SmallSet(unreadable=unreadable), results, side=64)
    assert sheet.shape[2] == 3
