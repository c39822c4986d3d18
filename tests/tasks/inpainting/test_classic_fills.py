import numpy as np
import pytest

from carafe_jax.tasks.inpainting.classic_fills import (
    biharmonic,
    harmonic,
    mean_colour,
    navier_stokes,
    spline,
    telea,
)


def test_mean_colour_is_that_of_the_given_pixels():
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[0, 0] = [[0.5, 0.25, -1.0], [0.0, 0.25, 1.0]]
    image[0, 1] = 9.0
    mask = np.zeros((1, 2, 2, 1), np.float32)
    mask[0, 1] = 1
    filled = mean_colour({"image": image, "mask": mask})
    np.testing.assert_allclose(filled[0, 1], [[0.25, 0.25, 0.0]] * 2)
    np.testing.assert_array_equal(filled[0, 0], image[0, 0])


def test_mean_colour_of_millions_of_pixels_is_exact():
    image = np.full((1, 2048, 2048, 3), 0.7, np.float32)
    mask = np.zeros((1, 2048, 2048, 1), np.float32)
    mask[0, 0, 0] = 1
    filled = mean_colour({"image": image, "mask": mask})
    np.testing.assert_allclose(filled[0, 0, 0], 0.7, rtol=1e-6)


def test_biharmonic_fill_continues_a_ramp():
    ramp = np.linspace(-0.9, 0.9, 16, dtype=np.float32)
    image = np.broadcast_to(ramp[None, None, :, None], (1, 16, 16, 3))
    mask = np.zeros((1, 16, 16, 1), np.float32)
    mask[0, 6:10, 6:10] = 1
    filled = biharmonic({"image": image, "mask": mask})
    # A linear function is biharmonic, so only rounding is left.
    np.testing.assert_allclose(filled, image, atol=1e-4)


@pytest.mark.parametrize("fill_by", [harmonic, spline])
def test_smooth_fills_continue_a_ramp_and_keep_what_is_given(fill_by):
    ramp = np.linspace(-0.9, 0.9, 16, dtype=np.float32)
    image = np.broadcast_to(ramp[None, None, :, None], (1, 16, 16, 3))
    mask = np.zeros((1, 16, 16, 1), np.float32)
    mask[0, 6:10, 6:10] = 1
    filled = fill_by({"image": np.where(mask > 0, np.float32(7), image), "mask": mask})
    assert filled.dtype == np.float32
    # A linear function is harmonic; the sweeps leave a little.
    np.testing.assert_allclose(filled, image, atol=0.01)
    given = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_array_equal(filled[given], image[given])


def test_spline_follows_the_slope_of_a_border_that_the_harmonic_fill_forgets():
    # The shape of a roof, with the hole on its ridge.
    roof = 0.9 - np.abs(np.linspace(-1.6, 1.6, 33, dtype=np.float32))
    image = np.broadcast_to(roof[None, None, :, None], (1, 33, 33, 3))
    mask = np.zeros((1, 33, 33, 1), np.float32)
    mask[0, :, 10:23] = 1
    middles = {
        fill_by: fill_by({"image": image, "mask": mask})[0, 16, 16, 0]
        for fill_by in (harmonic, spline)
    }
    np.testing.assert_allclose(middles[harmonic], roof[9], atol=0.02)
    assert middles[spline] > roof[9] + 0.04


@pytest.mark.parametrize("fill_by", [biharmonic, spline])
def test_fills_that_overshoot_are_clipped(fill_by):
    image = np.ones((1, 16, 16, 3), np.float32)
    image[:, :, :5] = image[:, :, 11:] = np.float32(0.9)
    mask = np.zeros((1, 16, 16, 1), np.float32)
    mask[:, :, 6:10] = 1
    assert fill_by({"image": image, "mask": mask}).max() <= 1


@pytest.mark.parametrize("fill_by", [telea, navier_stokes])
def test_fills_of_opencv_continue_a_constant_and_keep_what_is_given(fill_by):
    rng = np.random.default_rng(0)
    image = np.full((2, 16, 16, 3), 0.5, np.float32)
    image[1] = rng.uniform(-1, 1, (16, 16, 3))
    mask = np.zeros((2, 16, 16, 1), np.float32)
    mask[:, 4:9, 5:11] = 1
    filled = fill_by({"image": np.where(mask > 0, np.float32(-1), image), "mask": mask})
    # Eight bits a channel, and Telea's rounds down on the way inwards.
    np.testing.assert_allclose(filled[0], 0.5, atol=2 / 127)
    given = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_array_equal(filled[given], image[given])
    assert np.all(filled[1][~given[1]] > -1)
