"""Pictures on matplotlib's axes."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from carafe_jax.viz import draw_kernels, draw_sources


@pytest.fixture
def axes():
    return Figure().subplots()


def test_sources_are_drawn_at_the_positions_of_their_pixels(axes):
    weights = np.zeros((2, 4))
    weights[1, 0], weights[0, 3] = 0.75, 0.25
    draw_sources(
        axes, np.zeros((8, 16, 3)), weights, pixel=(0, 7), size=(4, 8), share=1.0
    )
    dots, ring = (np.asarray(found.get_offsets()) for found in axes.collections)
    # x and y of the middle of a block of 4 x 4 pixels.
    assert sorted(map(tuple, dots.tolist())) == [(1.5, 5.5), (13.5, 1.5)]
    assert ring.tolist() == [[14.5, 0.5]]
    sizes = axes.collections[0].get_sizes()
    np.testing.assert_allclose(max(sizes) / min(sizes), 3)


def test_only_the_strongest_sources_are_drawn(axes):
    weights = np.array([[0.75, 0.25]])
    draw_sources(
        axes, np.zeros((4, 8, 3)), weights, pixel=(0, 0), size=(1, 2), share=0.5
    )
    assert len(axes.collections[0].get_offsets()) == 1


def test_kernels_are_drawn_as_tiles(axes):
    draw_kernels(axes, np.ones((2, 3, 9)), vmax=0.5)
    (picture,) = axes.get_images()
    assert picture.get_array().shape == (7, 11)
    assert picture.get_clim() == (0, 0.5)
