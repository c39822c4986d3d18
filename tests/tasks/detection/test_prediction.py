"""Detection in photographs of any size and kind, with drawn weights."""

import numpy as np
import pytest

from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection import PhotographDetections
from tests.tasks.photograph_files import photograph, save_every_kind
from tests.tiny_trained_detector import tiny_trained_detector


@pytest.fixture(scope="module")
def detector():
    return tiny_trained_detector()


def assert_equal(actual, expected):
    np.testing.assert_array_equal(actual.boxes, expected.boxes)
    np.testing.assert_array_equal(actual.scores, expected.scores)
    assert actual.names == expected.names
    assert actual.encoded_masks == expected.encoded_masks


@pytest.mark.parametrize("size", [(1, 1), (60, 90), (3, 400), (700, 9)])
def test_objects_lie_in_photographs_of_any_size(detector, size):
    found = detector.detect(photograph(*size))
    assert found.size == size
    assert 0 < len(found) <= 10
    x1, y1, x2, y2 = found.boxes.T
    assert (x1 >= 0).all()
    assert (y1 >= 0).all()
    # Scale factors are float32.
    assert (x2 <= size[1] * (1 + 1e-6)).all()
    assert (y2 <= size[0] * (1 + 1e-6)).all()
    assert (np.diff(found.scores) <= 0).all()
    assert found.names == tuple(["ant", "bee", "cow"][x] for x in found.labels)
    assert found.masks is not None
    assert found.masks.shape == (len(found), *size)


def test_files_are_read_upright_as_rgb(detector, tmp_path):
    for path, pixels in save_every_kind(tmp_path, photograph(40, 60)):
        found = detector.detect(path)
        assert_equal(found, detector.detect(pixels))
        assert found.size == (40, 60)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_photographs_are_returned_in_order_with_the_errors_of_files(
    detector, tmp_path, batch_size
):
    (tmp_path / "broken.png").write_bytes(b"no image")
    arrays = [photograph(50, 50, seed) for seed in range(5)]
    given = [*arrays[:2], tmp_path / "broken.png", *arrays[2:]]
    found = list(detector.detect_all(iter(given), batch_size=batch_size))
    assert isinstance(found.pop(2), UnreadableImageError)
    for each, array in zip(found, arrays, strict=True):
        assert isinstance(each, PhotographDetections)
        expected = detector.detect(array)
        assert each.names == expected.names
        # The same sums in batches of another size.
        np.testing.assert_allclose(each.boxes, expected.boxes, atol=1e-3)
        np.testing.assert_allclose(each.scores, expected.scores, atol=1e-5)


def test_limits_leave_the_best_objects(detector):
    pixels = photograph(60, 60)
    every = detector.detect(pixels)
    threshold = float(every.scores[2])
    limited = detector.with_limits(score_threshold=threshold, max_detections=10)
    np.testing.assert_allclose(limited.detect(pixels).scores, every.scores[:2])
    with pytest.raises(RefusedError, match=r"`score_threshold` must lie in \[0, 1\)"):
        detector.with_limits(score_threshold=1.0, max_detections=10)
    with pytest.raises(RefusedError, match="`max_detections` must be positive, got 0"):
        detector.with_limits(score_threshold=0.5, max_detections=0)


def test_no_more_slots_are_computed_than_proposals_can_fill(detector):
    limited = detector.with_limits(score_threshold=0.0, max_detections=10**6)
    slots = detector.network.proposals.count * len(detector.classes)
    assert limited.network.detections.count == slots


def test_photograph_without_pixels_is_refused(detector):
    with pytest.raises(RefusedError, match="at least one pixel"):
        detector.detect(np.zeros((0, 4, 3), np.uint8))
