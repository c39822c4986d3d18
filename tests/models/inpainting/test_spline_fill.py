import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import linalg

from carafe_jax.errors import RefusedError
from carafe_jax.models import spline_fill


def laplacian(height, width):
    """Return the matrix of the negative Laplacian with mirrored borders."""

    def along(size):
        make: Any = sparse.diags  # Its type stub allows only one offset.
        differences = make([-1.0, 1.0], [0, 1], shape=(size - 1, size))
        return differences.T @ differences

    rows = sparse.kron(along(height), sparse.eye(width))
    return (rows + sparse.kron(sparse.eye(height), along(width))).tocsr()


def exact_fill(image, mask, *, tension):
    """Return the fill of least energy, from a direct solver in float64."""
    filled = image.astype(np.float64)
    for picture, hole in zip(filled, mask[..., 0] != 0, strict=True):
        matrix = laplacian(*hole.shape)
        energy = (1 - tension) * matrix @ matrix + tension * matrix
        pixels, unknown = picture.reshape(-1, picture.shape[-1]), hole.ravel()
        known = energy[unknown][:, ~unknown] @ pixels[~unknown]
        solve = linalg.factorized(energy[unknown][:, unknown].tocsc())
        pixels[unknown] = -np.stack([solve(column) for column in known.T], axis=-1)
    return filled


def smooth_batch(height, width, dtype=np.float32):
    """Two smooth pictures, each with a box and a stroke."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + y / 11), np.cos(y / 9), x / width - 0.5]
    image = np.stack([np.stack(waves, -1), -np.stack(waves, -1)]).astype(dtype)
    mask = np.zeros((2, height, width, 1), dtype)
    mask[0, height // 4 : height // 2, width // 3 : 2 * width // 3] = 1
    mask[:, :, width // 2 : width // 2 + 3] = 1
    return image, mask


@functools.partial(jax.jit, static_argnames="tension")
def fill(image, mask, *, tension=0.25):
    return spline_fill(image, mask, tension=tension)


@pytest.mark.parametrize("tension", [0.25, 1.0])
@pytest.mark.parametrize("size", [(48, 64), (37, 50), (16, 130)])
def test_fill_minimises_the_energy(tension, size):
    image, mask = smooth_batch(*size)
    filled = fill(image, mask, tension=tension)
    exact = exact_fill(image, mask, tension=tension)
    # The number of sweeps is finite: the error is at most 3 % of the range, 2.
    chex.assert_trees_all_close(filled, exact.astype(np.float32), atol=0.06)
    assert np.sqrt(np.mean((filled - exact) ** 2)) < 0.004


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (7, 1), (33, 5)])
def test_given_pixels_are_kept_to_the_bit(size):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    mask = (rng.random((2, *size, 1)) < 0.5).astype(np.float32)
    filled = np.asarray(fill(image, mask))
    np.testing.assert_array_equal(np.where(mask, 0, filled), np.where(mask, 0, image))
    assert np.isfinite(filled).all()


def test_constant_picture_stays_constant():
    _, mask = smooth_batch(40, 56)
    image = np.full((2, 40, 56, 3), 0.3, np.float32)
    # The rounding errors of some hundred sums.
    chex.assert_trees_all_close(fill(image, mask), image, atol=1e-5)


def test_picture_without_a_given_pixel_is_zero():
    image = np.ones((1, 9, 9, 3), np.float32)
    assert not fill(image, np.ones((1, 9, 9, 1), np.float32)).any()


def test_content_of_the_hole_has_no_effect():
    image, mask = smooth_batch(20, 30)
    spoilt = np.where(mask > 0, np.nan, image)
    np.testing.assert_array_equal(fill(image, mask), fill(spoilt, mask))


def test_pictures_of_a_batch_do_not_mix():
    image, mask = smooth_batch(21, 34)
    one_by_one = [fill(image[i : i + 1], mask[i : i + 1])[0] for i in range(2)]
    # Programs for other sizes of a batch fuse sums in another order, and long steps
    # enlarge rounding errors before short ones damp them.
    chex.assert_trees_all_close(fill(image, mask), jnp.stack(one_by_one), atol=1e-4)


def test_gradient_is_that_of_a_linear_map():
    image, mask = smooth_batch(18, 23)
    weights = np.random.default_rng(0).normal(size=image.shape).astype(np.float32)
    total = lambda x: (fill(x, mask) * weights).sum()  # noqa: E731
    gradient = jax.grad(total)(image)
    assert not np.where(mask > 0, gradient, 0).any()
    # <gradient, x> is f(x) of a linear f without a constant, to the rounding of sums.
    np.testing.assert_allclose((gradient * image).sum(), total(image), rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_computed_in_float32(dtype):
    image, mask = (jnp.asarray(x, dtype) for x in smooth_batch(24, 31))
    filled = fill(image, mask)
    assert filled.dtype == dtype
    wide = fill(image.astype(jnp.float32), mask)
    chex.assert_trees_all_equal(filled, wide.astype(dtype))


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_empty_image_stays_empty(size):
    image = np.zeros((1, *size, 3), np.float32)
    assert spline_fill(image, image[..., :1]).shape == image.shape


@pytest.mark.parametrize("tension", [0.0, -1.0, 1.5, float("nan")])
def test_tension_out_of_range_is_refused(tension):
    with pytest.raises(RefusedError, match="`tension` must be a number in"):
        spline_fill(*smooth_batch(9, 9), tension=tension)
