"""Kernels as pictures."""

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.viz import effective_taps, tile_kernels


def test_tiles_are_at_the_positions_of_their_pixels():
    kernels = np.arange(2 * 3 * 9, dtype=np.float32).reshape(2, 3, 9)
    picture = tile_kernels(kernels, gap=2)
    assert picture.shape == (2 * 5 - 2, 3 * 5 - 2)
    for i in range(2):
        for j in range(3):
            tile = picture[5 * i : 5 * i + 3, 5 * j : 5 * j + 3]
            np.testing.assert_array_equal(tile, kernels[i, j].reshape(3, 3))
    assert np.isnan(picture).sum() == picture.size - kernels.size


def test_tiles_without_a_gap_touch():
    assert not np.isnan(tile_kernels(np.ones((2, 3, 25)), gap=0)).any()


@pytest.mark.parametrize(
    ("shape", "gap", "words"),
    [
        ((2, 9), 1, r"`kernels` must have rank 3.* got shape \(2, 9\)"),
        ((2, 0, 9), 1, r"`kernels` must have rank 3.* got shape \(2, 0, 9\)"),
        ((2, 3, 8), 1, r"`kernels` must have k\*k taps .* got 8"),
        ((2, 3, 9), -1, r"`gap` must not be negative, got -1"),
    ],
)
def test_refusals(shape, gap, words):
    with pytest.raises(ValueError, match=words):
        tile_kernels(np.ones(shape), gap=gap)


def test_effective_taps_count_equal_taps():
    kernels = np.zeros((3, 9))
    for row, taps in enumerate((1, 4, 9)):
        kernels[row, :taps] = 1 / taps
    # Float32 logarithms.
    np.testing.assert_allclose(
        effective_taps(jnp.asarray(kernels)), [1, 4, 9], rtol=1e-6
    )


def test_effective_taps_do_not_depend_on_the_sum():
    kernels = jnp.asarray([[0.5, 0.25, 0.25, 0.0]])
    expected = np.exp(-(0.5 * np.log(0.5) + 0.5 * np.log(0.25)))
    for factor in (1, 3):
        np.testing.assert_allclose(
            effective_taps(factor * kernels), [expected], rtol=1e-6
        )
