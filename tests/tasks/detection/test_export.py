"""Exported programs of detectors."""

import jax
import jax.export
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection.export import export
from carafe_jax.tasks.detection.prediction import prepare_photograph
from tests.tiny_trained_detector import tiny_trained_detector


@pytest.fixture(scope="module")
def detector():
    return tiny_trained_detector()


def test_exported_program_detects_the_same(detector):
    program = jax.export.deserialize(export(detector))
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    example = prepare_photograph(pixels, detector.data)
    batch = {name: np.asarray(x)[None] for name, x in example.items()}
    names = ("image", "image_size", "scale_factor")
    assert program.in_avals[0].shape == (1, 64, 64, 3)
    actual = program.call(*(batch[name] for name in names))
    expected = jax.jit(detector.predict)(batch)
    assert set(actual) == {"box", "score", "label", "object", "mask"}
    for name, array in expected.items():
        # The same sums, perhaps fused differently.
        np.testing.assert_allclose(actual[name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"platform": "cuda"}, "`platform` must be 'cpu' or 'tpu' for a detector, got"),
        ({"batch_size": 0}, "`batch_size` must be positive, got 0"),
        ({"size": (64, 100)}, r"`size` must be two positive multiples of 64 .* 100\)"),
        ({"size": (0, 64)}, "`size` must be two positive multiples of 64"),
    ],
)
def test_arguments_that_break_a_rule_are_refused(detector, fields, words):
    with pytest.raises(RefusedError, match=words):
        export(detector, **fields)
