from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.metrics import lattice_energy, lattice_map

SIDE = 48
ROWS, COLUMNS = np.indices((SIDE, SIDE), np.float32)
HOLE = np.zeros((1, SIDE, SIDE, 1), np.float32)
HOLE[:, 4:-4, 4:-4] = 1
# Waves of a period: downwards, across, and along both diagonals.
WAVES = ((1, 0), (0, 1), (1, 1), (1, -1))


def wave(period, *, down, across):
    return np.cos(2 * np.pi / period * (down * ROWS + across * COLUMNS))


def energy(picture, *, period, mask=HOLE):
    images = np.broadcast_to(picture[None, ..., None], (1, SIDE, SIDE, 3))
    return float(lattice_energy(images.astype(np.float32), mask, period=period)[0])


@pytest.mark.parametrize("period", [2, 3, 4, 8])
@pytest.mark.parametrize(("down", "across"), WAVES)
def test_a_lattice_is_measured_as_its_mean_square(period, down, across):
    pattern = 0.1 * wave(period, down=down, across=across)
    expected = np.mean(pattern**2)
    # Whole periods in a window, so only rounding is left.
    assert energy(0.5 + pattern, period=period) == pytest.approx(expected, rel=1e-4)


def test_one_bright_pixel_of_four_has_the_energy_of_three_waves():
    dots = 0.4 * (ROWS % 2) * (COLUMNS % 2)
    # Its variance: mean of squares less the square of the mean.
    assert energy(dots, period=2) == pytest.approx(0.16 / 4 - 0.01, rel=1e-4)


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize(
    "picture",
    [
        np.full((SIDE, SIDE), 0.7),
        ROWS / SIDE,
        (ROWS + COLUMNS) / (2 * SIDE),
    ],
    ids=["constant", "ramp", "diagonal ramp"],
)
def test_constants_and_ramps_have_no_lattice_energy(period, picture):
    assert energy(picture, period=period) < 1e-10


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize(
    "picture",
    [COLUMNS >= 23, ROWS + COLUMNS >= SIDE, 2 * ROWS - COLUMNS >= 20],
    ids=["upright", "diagonal", "slanted"],
)
def test_an_edge_counts_less_than_a_faint_lattice(period, picture):
    faint = 0.02 * wave(period, down=0, across=1)
    assert energy(0.8 * picture, period=period) < 0.1 * np.mean(faint**2)


@pytest.mark.parametrize(("period", "other"), [(2, 4), (2, 8), (4, 2), (8, 2), (8, 4)])
def test_lattices_of_other_doublings_count_little(period, other):
    pattern = wave(other, down=0, across=1)
    assert energy(pattern, period=period) < 0.02 * np.mean(pattern**2)


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_one_pixel_keeps_the_energy(period, axis):
    pattern = wave(period, down=1, across=0) + wave(period, down=1, across=1)
    shifted = np.roll(pattern, 1, axis)
    expected = energy(pattern, period=period)
    assert energy(shifted, period=period) == pytest.approx(expected, rel=1e-4)


def test_a_lattice_outside_of_the_hole_has_no_effect():
    rng = np.random.default_rng(0)
    inside = rng.uniform(0, 1, (SIDE, SIDE)) * HOLE[0, ..., 0]
    outside = 0.5 * wave(2, down=1, across=1) * (1 - HOLE[0, ..., 0])
    assert energy(inside + outside, period=2) == energy(inside, period=2)


def test_only_pixels_deep_in_a_hole_are_measured():
    mask = np.zeros((1, SIDE, SIDE, 1), bool)
    mask[:, 10:24, 20:40] = True
    measured = np.isfinite(lattice_map(np.zeros((1, SIDE, SIDE, 3)), mask, period=2))
    rows, columns = np.nonzero(measured[0])
    # Six pixels from the border, on each side.
    assert (rows.min(), rows.max()) == (16, 17)
    assert (columns.min(), columns.max()) == (26, 33)


def test_a_hole_without_such_a_pixel_has_nan():
    mask = np.zeros((1, SIDE, SIDE, 1), np.float32)
    mask[:, 10:22] = 1
    assert np.isnan(energy(np.zeros((SIDE, SIDE)), period=2, mask=mask))


def test_energy_is_float32_of_images_of_less_precision():
    images = jnp.ones((1, 16, 16, 3), jnp.bfloat16)
    assert lattice_energy(images, jnp.ones((1, 16, 16, 1))).dtype == jnp.float32


def test_a_period_of_one_pixel_is_refused():
    with pytest.raises(ValueError, match="`period` must be at least 2, got 1"):
        lattice_energy(np.zeros((1, 8, 8, 3)), np.ones((1, 8, 8, 1)), period=1)


def test_a_period_that_is_no_integer_is_refused():
    period: Any = 2.5
    with pytest.raises(ValueError, match=r"`period` must be an integer, got 2\.5"):
        lattice_map(np.zeros((1, 8, 8, 3)), np.ones((1, 8, 8, 1)), period=period)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 8, 9, 1), (1, 8, 8, 3)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"`masks` must have the shape .* got \(1, 8"):
        lattice_energy(np.zeros((1, 8, 8, 3)), np.ones(shape))
