import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import roi_levels


def square(side):
    return jnp.array([[0, 0, side, side]], jnp.float32)


@pytest.mark.parametrize(
    ("side", "level"),
    [(0, 0), (111.9, 0), (112, 1), (223.9, 1), (224, 2), (448, 3), (900, 3)],
)
def test_level_begins_at_a_power_of_two(side, level):
    np.testing.assert_array_equal(roi_levels(square(side), levels=4), [level])


def test_level_is_found_by_area():
    boxes = jnp.array([[[0, 0, 28, 448]], [[5, 5, 5, 90]]], jnp.float32)
    np.testing.assert_array_equal(roi_levels(boxes, levels=4), [[1], [0]])


def test_levels_beyond_the_last_are_the_last():
    np.testing.assert_array_equal(roi_levels(square(900), levels=1), [0])


def test_finest_scale_moves_the_levels():
    found = roi_levels(square(112), levels=4, finest_scale=14)
    np.testing.assert_array_equal(found, [3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 0}, "`levels` must be positive, got 0"),
        (
            {"levels": 4, "finest_scale": 0.0},
            "`finest_scale` must be positive and",
        ),
        ({"levels": 1.5}, "`levels` must be an integer, got 1.5"),
        ({"levels": 4, "finest_scale": np.nan}, "`finest_scale` must be .* got nan"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(RefusedError, match=message):
        roi_levels(square(9), **options)
