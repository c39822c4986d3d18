"""Exported programs of segmentation networks."""

import dataclasses

import jax
import jax.export
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.segmentation import SegmentationData
from carafe_jax.tasks.segmentation.export import export, exported_size
from carafe_jax.tasks.segmentation.views import Views
from tests.tiny_trained_segmenter import tiny_trained_segmenter


@pytest.fixture(scope="module")
def segmenter():
    return tiny_trained_segmenter()


def test_exported_program_segments_the_same(segmenter):
    program = jax.export.deserialize(export(segmenter, batch_size=2, size=(64, 64)))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    found = np.asarray(program.call(images))
    assert found.dtype == np.uint8
    assert len(np.unique(found)) > 1
    # Photographs of this size are not resized.
    expected = [segmenter.segment(image).labels for image in images]
    # The same sums, perhaps fused differently.
    assert (found == np.stack(expected)).mean() > 0.999


def test_default_size_is_that_of_a_landscape_photograph(segmenter):
    sides = {"short_sides": (96,), "test_short_side": 96, "long_side": 192}
    data = SegmentationData(source="none", **sides)
    trained = dataclasses.replace(segmenter, data=data)
    assert exported_size(trained, None) == (96, 128)
    assert exported_size(trained, (64, 32)) == (64, 32)
    larger = dataclasses.replace(trained, views=Views(short_sides=(144,)))
    assert exported_size(larger, None) == (160, 192)


def test_programs_with_several_scales_are_not_exported(segmenter):
    trained = dataclasses.replace(segmenter, views=Views(short_sides=(32, 64)))
    words = r"short_sides` must have at most one side, .* got \(32, 64\)"
    with pytest.raises(RefusedError, match=words):
        export(trained)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"platform": "cuda"}, "`platform` must be 'cpu' or 'tpu' for a segmentation"),
        ({"batch_size": 0}, "`batch_size` must be positive, got 0"),
        ({"size": (64, 90)}, r"`size` must be two positive multiples of 32 .* 90\)"),
        ({"size": (0, 64)}, "`size` must be two positive multiples of 32"),
    ],
)
def test_arguments_that_break_a_rule_are_refused(segmenter, fields, words):
    with pytest.raises(RefusedError, match=words):
        export(segmenter, **fields)
