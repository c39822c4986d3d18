"""Boxes around holes."""

import numpy as np

from carafe_jax.tasks.inpainting.hole_boxes import box_of


def test_box_holds_the_hole_and_its_margin_inside_of_the_picture():
    hole = np.zeros((9, 20), bool)
    hole[1, 12] = hole[4, 15] = True
    assert box_of(hole) == (slice(1, 5), slice(12, 16))
    assert box_of(hole, margin=3) == (slice(0, 8), slice(9, 19))
    assert box_of(hole, margin=99) == (slice(0, 9), slice(0, 20))
