"""Cropping a map to the size of another."""

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.nn.crop import crop

FEATURES = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)


@pytest.mark.parametrize("size", [(4, 5), (3, 5), (4, 4), (1, 1)])
def test_first_rows_and_columns_are_kept(size):
    out = crop(jnp.asarray(FEATURES), size=size)
    np.testing.assert_array_equal(out, FEATURES[:, : size[0], : size[1]])


@pytest.mark.parametrize("size", [(5, 5), (4, 6), (0, 5), (4, -1)])
def test_size_that_is_not_inside_the_map_is_refused(size):
    with pytest.raises(ValueError, match=r"`size` must be .*\(4, 5\), got \("):
        crop(jnp.asarray(FEATURES), size=size)


@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 2, 4, 5, 3)])
def test_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*got shape \("):
        crop(jnp.zeros(shape), size=(1, 1))


def test_size_of_three_numbers_is_refused():
    with pytest.raises(RefusedError, match=r"`size` must be two .* \(4, 5, 3\)"):
        crop(jnp.asarray(FEATURES), size=FEATURES.shape[1:])
