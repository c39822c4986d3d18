"""Prediction for photographs of any size, in batches of one size."""

import numpy as np
import pytest

from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.photograph_batches import BatchPredictor, read_pixels
from tests.tasks.photograph_files import photograph, save


@pytest.fixture
def batches():
    """The members of each batch that was predicted, as it was given."""
    return []


@pytest.fixture
def predictor(batches):
    """A predictor of the sum of the pixels of arrays and files of one height."""

    def predict(prepared):
        batches.append([each.shape for each in prepared])
        return (int(each.sum()) for each in prepared)

    return BatchPredictor(
        prepare=read_pixels, size=lambda pixels: len(pixels), predict=predict
    )


def test_one_photograph_is_a_batch_of_its_own(predictor, batches):
    assert predictor.one(np.ones((2, 5, 3), np.uint8)) == 30
    assert batches == [[(2, 5, 3)]]


def test_photographs_of_one_size_share_batches_that_copies_fill(
    predictor, batches, tmp_path
):
    (tmp_path / "broken.png").write_bytes(b"no image")
    arrays = [photograph(height, 5, seed) for seed, height in enumerate((4, 6, 4, 4))]
    given = [*arrays[:2], tmp_path / "broken.png", *arrays[2:]]
    found = list(predictor.all(iter(given), batch_size=2))
    assert isinstance(found.pop(2), UnreadableImageError)
    assert found == [array.sum() for array in arrays]
    four, six = (4, 5, 3), (6, 5, 3)
    assert batches == [[four, four], [four, four], [six, six]]


def test_files_are_read(predictor, tmp_path):
    path = save(tmp_path / "photo.png", (4, 5))
    assert predictor.one(path) == predictor.one(str(path)) == photograph(4, 5).sum()


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)]
)
def test_arrays_that_are_no_photographs_are_refused(predictor, array):
    with pytest.raises(RefusedError, match="`photograph` must be uint8 of shape"):
        predictor.one(array)


def test_batch_size_must_be_positive(predictor):
    with pytest.raises(RefusedError, match="`batch_size` must be positive, got 0"):
        predictor.all([], batch_size=0)
