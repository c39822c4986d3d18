"""Blocks of convolution, norm and activation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.models import CARAFEConv, ConvBlock, DeconvBlock
from carafe_jax.models.conv_blocks import ResampleConv
from carafe_jax.nn import BatchNorm, CARAFEUpsample

BLOCKS = [ConvBlock, DeconvBlock, CARAFEConv]


def random_map(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("make", [ConvBlock, DeconvBlock])
def test_relu_of_a_fresh_block_keeps_the_mean_square(make):
    # With padding at the border, where less comes in, left out.
    features = nn.relu(random_map(1, 24, 24, 64))
    output, _ = jax.jit(make(features=64).init_with_output)(jax.random.key(0), features)
    inner = np.asarray(output)[:, 2:-2, 2:-2]
    np.testing.assert_allclose(
        np.square(inner).mean(), np.square(features).mean(), rtol=0.2
    )


@pytest.mark.parametrize("make", [CARAFEConv, ResampleConv])
def test_even_windows_around_a_resampler_are_refused(make):
    with pytest.raises(RefusedError, match="`kernel_size` must be a positive odd int"):
        make(features=4, kernel_size=4).init(jax.random.key(0), random_map(1, 6, 6, 3))


@pytest.mark.parametrize("make", BLOCKS)
def test_convolution_with_a_norm_has_no_bias(make):
    block = make(features=4, norm=BatchNorm)
    variables = jax.eval_shape(block.init, jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
    params = variables["params"]
    conv = params.get("conv", params.get("deconv"))
    assert set(conv) == {"kernel"}
    assert set(params["norm"]) == {"scale", "bias"}


@pytest.mark.parametrize("make", BLOCKS)
def test_norm_and_activation_follow_the_convolution(make):
    features = random_map(2, 6, 6, 3)
    block = make(features=4, norm=BatchNorm, activation=lambda x: x + 100)
    apply = functools.partial(block.init_with_output, train=True)
    output, _ = jax.jit(apply)(jax.random.key(0), features)
    mean, deviation = np.mean(output, (0, 1, 2)), np.std(output, (0, 1, 2))
    np.testing.assert_allclose(mean, 100, atol=1e-3)
    np.testing.assert_allclose(deviation, 1, atol=1e-2)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (ConvBlock, (7, 10)),
        (functools.partial(ConvBlock, stride=2), (4, 5)),
        (functools.partial(ConvBlock, kernel_size=5, dilation=4), (7, 10)),
        (functools.partial(ConvBlock, kernel_size=4), (6, 9)),
        (DeconvBlock, (14, 20)),
        (CARAFEConv, (4, 5)),
        (functools.partial(CARAFEConv, reassembly=CARAFEUpsample), (14, 20)),
    ],
)
def test_output_has_the_size_that_the_stride_makes(make, size):
    output, _ = jax.eval_shape(
        make(features=4).init_with_output, jax.random.key(0), jnp.zeros((1, 7, 10, 3))
    )
    assert output.shape == (1, *size, 4)
