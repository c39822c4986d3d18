import numpy as np
import pytest

from carafe_jax.data.transforms.crops import random_crop


def coordinates(height: int, width: int) -> np.ndarray:
    """Make a photograph whose red and green are its rows and columns."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_crop_of_full_size_is_a_window_of_the_photograph(seed):
    photograph = coordinates(60, 90)
    rng = np.random.default_rng(seed)
    crop = random_crop(photograph, rng, size=32, fraction=(0.1, 0.1))
    top, left, _ = crop[0, 0]
    np.testing.assert_array_equal(
        crop, photograph[top : top + 32, left : left + 32], strict=True
    )


def test_windows_reach_every_border():
    photograph, rng = coordinates(18, 19), np.random.default_rng(0)
    crops = [
        random_crop(photograph, rng, size=16, fraction=(0.1, 0.1)) for _ in range(200)
    ]
    assert {tuple(crop[0, 0, :2].tolist()) for crop in crops} == {
        (top, left) for top in range(3) for left in range(4)
    }


@pytest.mark.parametrize("seed", range(5))
def test_side_of_the_square_lies_in_the_range(seed):
    rng = np.random.default_rng(seed)
    crop = random_crop(coordinates(200, 240), rng, size=20, fraction=(0.3, 0.5))
    rows_apart = np.diff(crop[:, 0, 0].astype(float))[2:-2].mean()
    # Coordinates are rounded to whole numbers: a tenth of a row at most.
    assert 3.0 - 0.1 <= rows_apart <= 5.0 + 0.1


def test_whole_square_keeps_the_mean_colour():
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    crop = random_crop(photograph, rng, size=12, fraction=(1.0, 1.0))
    # Borders weigh a little differently: seen 0.6 of 255.
    np.testing.assert_allclose(crop.mean((0, 1)), photograph.mean((0, 1)), atol=2)


def test_shrinking_averages_fine_stripes():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    crop = random_crop(stripes, np.random.default_rng(0), size=8, fraction=(1.0, 1.0))
    # Without antialiasing they would be 0 or 255.
    np.testing.assert_allclose(crop, 127.5, atol=4)


def test_refuses_a_photograph_smaller_than_the_crop():
    with pytest.raises(ValueError, match=r"`size` must not exceed .*30 x 90.* got 32"):
        random_crop(
            coordinates(30, 90), np.random.default_rng(0), size=32, fraction=(0.5, 1.0)
        )
