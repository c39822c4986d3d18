"""Tiles over large pictures, and the weights that blend them."""

import numpy as np
import pytest

from carafe_jax.tasks.inpainting.tiles import smoothstep, tile_side, tiles_over


def _weights(hole, side):
    """Return the weight of each tile at each pixel."""
    total = np.zeros((len(tiles := tiles_over(hole, side=side)), *hole.shape))
    for number, tile in enumerate(tiles):
        total[number][tile.place] = tile.weights
    return total


@pytest.mark.parametrize("shape", [(300, 700), (256, 257), (40, 64), (1, 900)])
def test_weights_of_all_tiles_sum_to_one(shape):
    weights = _weights(np.ones(shape, bool), 256)
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)


def test_weights_have_no_edge_that_could_be_seen():
    weights = _weights(np.ones((600, 400), bool), 256)
    for axis in (1, 2):
        # A smooth ramp over 32 pixels climbs by 1.5 / 32 at most.
        assert abs(np.diff(weights, axis=axis)).max() < 0.05


def test_tiles_have_one_size():
    tiles = tiles_over(np.ones((600, 400), bool), side=256)
    assert {tile.weights.shape for tile in tiles} == {(256, 256)}


def test_tiles_without_a_hole_are_left_out():
    hole = np.zeros((2000, 3000), bool)
    assert tiles_over(hole, side=256) == []
    hole[100, 100] = True
    hole[1900:1910, 2900:2910] = True
    tiles = tiles_over(hole, side=256)
    assert len(tiles) == 2
    np.testing.assert_allclose(_weights(hole, 256).sum(0)[hole], 1)


@pytest.mark.parametrize(
    ("shape", "side"),
    [((1, 1), 64), ((64, 65), 128), ((192, 90), 192), ((9000, 8), 256)],
)
def test_one_tile_holds_a_small_picture(shape, side):
    assert tile_side(shape, largest=250) == side


def test_smoothstep_is_flat_at_its_ends():
    steps = smoothstep(np.array([-1, 0, 0.01, 0.5, 1, 2]))
    np.testing.assert_allclose(steps, [0, 0, 0, 0.5, 1, 1], atol=3e-4)
