"""Bilinear sampling against a loop, at borders and under transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax.errors import RefusedError
from carafe_jax.ops import sample_bilinear
from tests.ops.sampling_loops import sample_loop

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 4, 5, 6))
ROWS, COLUMNS = RNG.uniform(-2.5, 6.5, size=(2, 2, 3, 4, 2))


@jax.jit
def sample(features, rows, columns):
    return sample_bilinear(features, rows=rows, columns=columns)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [(4, 5), (1, 5), (4, 1), (1, 1)])
def test_samples_are_those_of_a_loop(size, groups):
    features = FEATURES[:, : size[0], : size[1]]
    positions = ROWS[..., :groups], COLUMNS[..., :groups]
    with jax.enable_x64(True):
        out = sample(features, *positions)
    np.testing.assert_allclose(out, sample_loop(features, *positions), atol=1e-12)


def test_integer_positions_are_pixels():
    rows, columns = np.indices((4, 5), np.float32)[:, None, :, :, None].repeat(2, 1)
    out = sample(np.float32(FEATURES), rows, columns)
    np.testing.assert_array_equal(out, np.float32(FEATURES))


@pytest.mark.parametrize("position", [-1, -1.5, 4, 4.5, 1e30, -1e30, np.inf])
def test_samples_outside_are_zero_with_zero_gradients(position):
    features = jnp.ones((1, 4, 4, 1))
    inside = jnp.ones((1, 1, 1, 1))
    value, gradients = jax.value_and_grad(
        lambda *x: sample(*x).sum(), argnums=(0, 1, 2)
    )(features, position * inside, inside)
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, jnp.zeros_like(gradient))


def test_gradients_match_differences():
    with jax.enable_x64(True):
        # Away from whole positions, where the derivative jumps.
        rows, columns = (np.floor(x) + 0.5 + 0.3 * np.sin(x) for x in (ROWS, COLUMNS))
        check_grads(sample, (FEATURES, rows, columns), order=1, modes=("rev",))


def test_derivative_at_a_pixel_is_the_step_to_the_next():
    features = jnp.array([1.0, 4.0, 9.0]).reshape(1, 3, 1, 1)
    rows = jnp.array([0.0, 1.0, 2.0]).reshape(1, 3, 1, 1)
    gradient = jax.grad(lambda rows: sample(features, rows, 0 * rows).sum())(rows)
    np.testing.assert_array_equal(gradient.ravel(), [3, 5, -9])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_rounded_once_at_the_end(dtype):
    features = jnp.asarray(FEATURES, dtype)
    rows, columns = np.float32(ROWS), np.float32(COLUMNS)
    exact = sample(features.astype(jnp.float32), rows, columns).astype(dtype)
    np.testing.assert_array_equal(sample(features, rows, columns), exact)


def test_vmap_is_the_same_as_a_loop():
    stacked = [np.stack([x, 2 * x]).astype(np.float32) for x in (FEATURES, ROWS)]
    columns = np.stack([COLUMNS, COLUMNS]).astype(np.float32)
    out = jax.vmap(sample)(*stacked, columns)
    for index in range(2):
        expected = sample(*(x[index] for x in (*stacked, columns)))
        np.testing.assert_allclose(out[index], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 5, 6), (2, 3, 4, 1), (2, 3, 4, 1)), "`features` must have rank 4"),
        (((2, 0, 5, 6), (2, 3, 4, 1), (2, 3, 4, 1)), "at least one pixel"),
        (((2, 4, 5, 6), (2, 3, 4, 1), (2, 3, 4, 2)), "`rows` and `columns` must have"),
        (((2, 4, 5, 6), (1, 3, 4, 1), (1, 3, 4, 1)), "`rows` must have the 2 examples"),
        (((2, 4, 5, 6), (2, 3, 4, 4), (2, 3, 4, 4)), "divides the 6 channels .* got 4"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(RefusedError, match=message):
        sample(*map(np.zeros, shapes))
