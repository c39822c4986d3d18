"""Photographs under their label maps."""

import numpy as np
import pytest

from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.tasks.segmentation.tiles import draw_tiles

CLASSES = LabelClasses(names=("sky", "road"), palette=((0, 0, 250), (90, 90, 90)))


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((3, 300), (200, 2)), ((300, 3), (2, 200)), ((1, 1), (200, 200))],
)
def test_photograph_of_any_aspect_has_a_legend(size, drawn):
    photograph, labels = np.zeros((*size, 3), np.uint8), np.ones(size, np.uint8)
    *tiles, legend = draw_tiles(photograph, [labels] * 2, classes=CLASSES, side=200)
    assert [tile.size for tile in tiles] == [drawn] * 3
    assert (np.asarray(legend) == (90, 90, 90)).all(-1).any()
