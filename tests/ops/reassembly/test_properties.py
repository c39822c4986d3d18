"""Properties that every reassembly must have."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import reassemble
from tests.ops.reassembly import oracle
from tests.ops.reassembly.cases import Case


def run(features, kernels, scale):
    call = jax.jit(lambda x, y: reassemble(x, y, scale=scale))
    return np.asarray(call(features, kernels))


@pytest.mark.parametrize("scale", [2, "1/2", "1/3", "2/3"])
def test_constant_map_stays_constant_away_from_the_border(scale):
    case = Case(scale=scale, kernel_size=5, groups=2, shape=(1, 11, 12, 4))
    _, logits, _ = case.draw(np.float32, np.float32)
    kernels = jax.nn.softmax(logits)
    out = run(np.full(case.shape, 3, np.float32), kernels, scale)
    rows, columns = (
        [i for i in range(out) if 2 <= oracle.source_pixel(i, scale) < size - 2]
        for out, size in zip(case.output_shape[1:3], case.shape[1:3], strict=True)
    )
    # Twenty-five float32 weights sum to one within 25 roundings.
    np.testing.assert_allclose(out[:, rows][:, :, columns], 3, rtol=3e-6)


def test_constant_map_fades_at_the_border():
    kernels = np.full((1, 6, 6, 1, 9), 1 / 9, np.float32)
    out = run(np.ones((1, 3, 3, 1), np.float32), kernels, 2)
    # Four of nine taps are inside the map at a corner, six at an edge.
    np.testing.assert_allclose(out[0, 0, :, 0] * 9, [4, 4, 6, 6, 4, 4], rtol=1e-6)


def one_hot(case, tap):
    kernels = np.zeros(case.kernels_shape, np.float32)
    kernels[..., tap] = 1
    return kernels


@pytest.mark.parametrize(("scale", "kernel_size"), [(1, 7), (2, 3), (2, 5), (3, 1)])
def test_one_hot_centre_repeats_pixels_when_upsampling(scale, kernel_size):
    case = Case(scale=scale, kernel_size=kernel_size, groups=1, shape=(2, 3, 4, 2))
    features, _, _ = case.draw(np.float32, np.float32)
    result = run(features, one_hot(case, kernel_size**2 // 2), scale)
    expected = jnp.repeat(jnp.repeat(features, scale, axis=1), scale, axis=2)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("stride", "kernel_size"), [(2, 1), (2, 5), (3, 3)])
def test_one_hot_centre_strides_over_pixels_when_downsampling(stride, kernel_size):
    case = Case(
        scale=f"1/{stride}", kernel_size=kernel_size, groups=1, shape=(2, 7, 6, 2)
    )
    features, _, _ = case.draw(np.float32, np.float32)
    result = run(features, one_hot(case, kernel_size**2 // 2), case.scale)
    np.testing.assert_array_equal(result, features[:, ::stride, ::stride])


@pytest.mark.parametrize("tap", [0, 1, 5, 8])
def test_one_hot_tap_shifts_the_map(tap):
    case = Case(scale=1, kernel_size=3, groups=1, shape=(1, 4, 5, 2))
    features, _, _ = case.draw(np.float32, np.float32)
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y, x = divmod(tap, 3)
    result = run(features, one_hot(case, tap), 1)
    np.testing.assert_array_equal(result, padded[:, y : y + 4, x : x + 5])


def test_three_halves_reads_the_pixels_of_the_rounded_down_rows():
    case = Case(scale="3/2", kernel_size=3, groups=1, shape=(1, 4, 3, 1))
    features = np.arange(12, dtype=np.float32).reshape(case.shape)
    result = run(features, one_hot(case, 4), "3/2")
    expected = features[:, [0, 0, 1, 2, 2, 3]][:, :, [0, 0, 1, 2, 2]]
    np.testing.assert_array_equal(result, expected)


def test_groups_are_contiguous_blocks_of_channels():
    features = np.ones((1, 2, 2, 6), np.float32)
    kernels = np.arange(1, 4, dtype=np.float32) * np.ones((1, 2, 2, 1, 3), np.float32)
    result = run(features, kernels.swapaxes(3, 4), 1)
    np.testing.assert_array_equal(result[0, 0, 0], [1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize("argument", [0, 1])
@pytest.mark.parametrize("scale", [2, "1/2"])
def test_reassembly_is_linear_in_each_argument(scale, argument):
    case = Case(scale=scale, kernel_size=3, groups=2, shape=(1, 4, 5, 4))
    first = case.draw(np.float32, np.float32)[:2]
    second = [x[:, ::-1, ::-1] for x in first]

    def partial(x):
        arrays = [first[0], first[1]]
        arrays[argument] = x
        return run(arrays[0], arrays[1], scale)

    mixed = partial(2 * first[argument] - 3 * second[argument])
    expected = 2 * partial(first[argument]) - 3 * partial(second[argument])
    # Float32 sums of nine products of up to 50.
    chex.assert_trees_all_close(mixed, expected, atol=1e-4)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize(("u", "d"), [(2, 1), (1, 2), (3, 2), (2, 3)])
def test_the_plain_jax_of_the_docstring_equals_it(u, d, kernel_size):
    scale = f"{u}/{d}"
    case = Case(scale=scale, kernel_size=kernel_size, groups=1, shape=(2, 5, 6, 3))
    features, kernels, _ = case.draw(np.float32, np.float32)
    k, r = kernel_size, kernel_size // 2
    n, oh, ow, _ = case.output_shape
    padded = jnp.pad(features, ((0, 0), (r, r), (r, r), (0, 0)))
    rows = (jnp.arange(oh) * d // u)[:, None, None, None] + jnp.arange(k)[:, None]
    columns = (jnp.arange(ow) * d // u)[:, None, None] + jnp.arange(k)
    weights = kernels.reshape(n, oh, ow, k, k)
    out = jnp.einsum("nijabc,nijab->nijc", padded[:, rows, columns], weights)
    # Float32 sums of 25 products of about 1.
    np.testing.assert_allclose(run(features, kernels, scale), out, atol=1e-5)
