"""Adaptive average pooling, against PyTorch and by a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import adaptive_average_pool
from tests.nn.torch_goldens import load, nhwc, value_and_gradients


def test_averages_and_gradients_are_those_of_pytorch():
    golden = load("adaptive_avg_pool")
    sizes = (1, 2, 3, 6)
    with jax.enable_x64(True):
        features = jnp.asarray(nhwc(golden["input/0"]), jnp.float64)
        total = 0
        for index, size in enumerate(sizes):
            out, (gradient,) = value_and_gradients(
                lambda x, size=size: adaptive_average_pool(x, size=(size, size)),
                nhwc(golden[f"R/{index}"]),
                features,
            )
            expected = nhwc(golden[f"ref64_output/{index}"])
            np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-12)
            total += gradient
        expected = nhwc(golden["ref64_grad_input/0"])
        np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-12)


def by_loop(features, bins):
    _, height, width, _ = features.shape
    rows, columns = (
        [(i * n // b, -(-(i + 1) * n // b)) for i in range(b)]
        for n, b in zip((height, width), bins, strict=True)
    )
    return np.stack(
        [
            np.stack([features[:, a:b, c:d].mean((1, 2)) for c, d in columns], 1)
            for a, b in rows
        ],
        1,
    )


@pytest.mark.parametrize("size", [(1, 1), (4, 5), (7, 3), (13, 2)])
@pytest.mark.parametrize("bins", [(1, 1), (2, 3), (6, 6)])
def test_bins_are_those_of_the_loop_even_where_there_are_more_than_pixels(size, bins):
    features = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    out = adaptive_average_pool(features, size=bins)
    # Sums of at most 39 values of about one, in float32.
    np.testing.assert_allclose(out, by_loop(features, bins), atol=2e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_averages_are_summed_in_float32(dtype):
    features = jnp.full((1, 64, 64, 1), 1.001, dtype)
    out = adaptive_average_pool(features, size=(1, 1))
    assert out.dtype == dtype
    assert out.item() == features[0, 0, 0, 0].item()


def test_program_for_maps_of_any_size_can_be_exported():
    scope = jax.export.symbolic_shape("n, h, w, 2")
    argument = jax.ShapeDtypeStruct(scope, jnp.float32)
    pool = jax.jit(lambda x: adaptive_average_pool(x, size=(2, 3)))
    program = jax.export.export(pool)(argument)
    features = np.random.default_rng(0).normal(size=(1, 5, 8, 2)).astype(np.float32)
    np.testing.assert_allclose(
        program.call(features), by_loop(features, (2, 3)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("features", "size", "words"),
    [
        (np.zeros((4, 4, 1)), (1, 1), "`features` must have rank 4"),
        (np.zeros((1, 4, 4, 1), np.int32), (1, 1), "`features` must be of a floating"),
        (np.zeros((1, 0, 4, 1)), (1, 1), "`features` must have at least one row"),
        (np.zeros((1, 4, 4, 1)), (0, 1), r"`size` must be 2 .* got \(0, 1\)"),
        (np.zeros((1, 4, 4, 1)), (2,), r"`size` must be 2 positive ints, got \(2,\)"),
        (np.zeros((1, 4, 4, 1)), (2.0, 1), "`size` must be 2 positive ints"),
    ],
)
def test_what_does_not_fit_is_refused(features, size, words):
    with pytest.raises(RefusedError, match=words):
        adaptive_average_pool(features, size=size)
