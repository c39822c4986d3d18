"""Views of photographs at test time."""

from typing import Any

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation import SegmentationData
from carafe_jax.tasks.segmentation.views import Views

DATA = SegmentationData(
    source="none", short_sides=(96,), test_short_side=96, long_side=192
)


def test_sides_are_limited_by_the_run_or_by_the_views():
    photograph = Size(60, 90)
    assert Views().sizes(photograph, DATA) == ((96, 160),)
    assert Views(short_sides=(32, 96)).sizes(photograph, DATA) == ((32, 64), (96, 160))
    wide = Views(short_sides=(96, 256), long_side=640)
    assert wide.sizes(photograph, DATA) == ((96, 160), (256, 384))


@pytest.mark.parametrize(
    "fields",
    [{}, {"short_sides": (96, 192)}, {"short_sides": (256,), "long_side": 256}],
)
def test_short_sides_within_the_limit_are_accepted(fields):
    Views(**fields).check_limits(DATA)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"short_sides": (96, 200)},
            r"`short_sides` must be at most the long side of the run, 192, .* 200\)",
        ),
        (
            {"short_sides": (300,), "long_side": 256},
            "`long_side` must be at least the largest short side, 300, got 256",
        ),
        ({"long_side": 64}, "`long_side` must be at least the largest short side, 96"),
    ],
)
def test_short_side_above_the_limit_is_refused(fields, words):
    with pytest.raises(RefusedError, match=words):
        Views(**fields).check_limits(DATA)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"long_side": 0}, "`long_side` must be positive, got 0"),
        ({"flip": "none"}, "`flip` must be a bool, got 'none'"),
    ],
)
def test_field_that_breaks_its_rule_is_refused(fields: Any, words):
    with pytest.raises(RefusedError, match=words):
        Views(**fields)


def test_empty_list_of_short_sides_is_that_of_the_run():
    sides: Any = []
    assert Views(short_sides=sides).sizes(Size(60, 90), DATA) == ((96, 160),)
