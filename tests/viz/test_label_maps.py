"""Label maps in colour."""

from typing import Any

import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.viz import (
    colour_label_map,
    default_palette,
    draw_legend,
    overlay_label_map,
)

LABELS = np.array([[0, 1, 2], [2, 255, 2]], np.uint8)
PALETTE = np.array([[10, 20, 30], [200, 0, 0], [0, 250, 0]], np.uint8)
CLASSES = ["sky", "tree", "road"]
FRACTION: Any = 40.5
NOTHING: Any = None


def test_default_palette_is_that_of_pascal_voc():
    # Aeroplane, bicycle, bird, and the 20th class: TV monitor.
    assert default_palette(20)[[0, 1, 2, 19]].tolist() == [
        *([128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 64, 128])
    ]


def test_default_palette_has_distinct_colours_without_black():
    colours = default_palette(255)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 255
    assert colours.any(1).all()
    np.testing.assert_array_equal(default_palette(7), colours[:7])


@pytest.mark.parametrize("count", [0, 256, 2.5, "3"])
def test_palettes_of_other_sizes_are_refused(count):
    with pytest.raises(RefusedError, match=r"`count` must be an int in \[1, 255\]"):
        default_palette(count)


def test_labels_get_their_colours_and_ignored_pixels_are_black():
    picture = colour_label_map(LABELS, palette=PALETTE)
    assert picture[0].tolist() == PALETTE.tolist()
    assert picture[1, 1].tolist() == [0, 0, 0]
    by_default = colour_label_map(LABELS)
    np.testing.assert_array_equal(by_default[0], default_palette(3))


def test_a_map_without_labels_is_black():
    ignored = np.full((2, 3), 255, np.uint8)
    assert not colour_label_map(ignored, palette=PALETTE).any()


def test_opacity_mixes_photograph_and_colours():
    photograph = np.full((2, 3, 3), 100, np.uint8)
    before = photograph.copy()
    mixed = overlay_label_map(photograph, LABELS, palette=PALETTE, opacity=0.25)
    assert mixed[0, 1].tolist() == [125, 75, 75]
    assert mixed[1, 1].tolist() == [75, 75, 75]
    np.testing.assert_array_equal(photograph, before)
    for opacity, expected in ((0, photograph), (1, colour_label_map(LABELS))):
        np.testing.assert_array_equal(
            overlay_label_map(photograph, LABELS, opacity=opacity), expected
        )


def test_legend_names_the_classes_that_are_present():
    legend = draw_legend(LABELS, classes=CLASSES, palette=PALETTE, height=200)
    colours = {tuple(colour) for colour in legend.reshape(-1, 3).tolist()}
    assert {*map(tuple, PALETTE.tolist()), (0, 0, 0), (255, 255, 255)} <= colours
    assert legend.shape[0] == 200
    # The class with the most pixels is the first.
    assert legend[0, 0].tolist() == [0, 250, 0]
    one = draw_legend(LABELS[1:, 2:], classes=CLASSES, palette=PALETTE, height=200)
    assert (10, 20, 30) not in {tuple(x) for x in one.reshape(-1, 3).tolist()}
    assert (one[60:] == 255).all()


def test_low_legends_have_several_columns():
    tall = draw_legend(LABELS, classes=CLASSES, palette=PALETTE, height=200)
    low = draw_legend(LABELS, classes=CLASSES, palette=PALETTE, height=24)
    assert low.shape[0] == 24
    assert low.shape[1] > 2 * tall.shape[1]
    with pytest.raises(RefusedError, match="`height` must be at least"):
        draw_legend(LABELS, classes=CLASSES, height=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: colour_label_map(LABELS.astype(int)), "`labels` must be uint8"),
        (lambda: colour_label_map(LABELS[0]), r"got uint8 of shape \(3,\)"),
        (lambda: colour_label_map(LABELS, palette=PALETTE[:2]), "below 2.* got 2"),
        (lambda: colour_label_map(LABELS, palette=PALETTE / 255), "`palette` must be"),
        (lambda: colour_label_map(LABELS, palette=PALETTE[:, :2]), "`palette` must be"),
        (
            lambda: overlay_label_map(np.zeros((2, 2, 3), np.uint8), LABELS),
            r"of shape \(2, 3, 3\), as its labels",
        ),
        (
            lambda: overlay_label_map(PALETTE[None, :2], LABELS, opacity=1.5),
            r"`opacity` must lie in \[0, 1\], got 1.5",
        ),
        (
            lambda: draw_legend(LABELS, classes=CLASSES[:2], height=99),
            "`classes` must name every label, got 2 names and the label 2",
        ),
        (
            lambda: draw_legend(LABELS / 1, classes=CLASSES, height=99),
            "`labels` must be uint8 of shape .*, got float64",
        ),
        (
            lambda: draw_legend(LABELS[:0], classes=CLASSES, height=99),
            r"`labels` must have at least one pixel, got \(0, 3\)",
        ),
        (
            lambda: draw_legend(LABELS, classes=CLASSES, height=99, text_size=0),
            "`text_size` must be positive, got 0",
        ),
        (
            lambda: draw_legend(LABELS, classes=CLASSES, height=FRACTION),
            "`height` must be an integer, got 40.5",
        ),
        (
            lambda: overlay_label_map(NOTHING, LABELS),
            "`photograph` must be uint8 of shape .*, got object",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(RefusedError, match=message):
        call()
