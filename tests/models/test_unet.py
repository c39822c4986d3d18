import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.models import UNet
from carafe_jax.nn import (
    CARAFEUpsample,
    DeconvUpsample,
    NearestUpsample,
    StridedConvDownsample,
)

small_carafe = functools.partial(
    UNet,
    stage_features=(4, 8, 8),
    upsample=functools.partial(CARAFEUpsample, compressed_channels=4),
)
small_conv = functools.partial(
    UNet,
    stage_features=(4, 8, 8),
    downsample=StridedConvDownsample,
    upsample=NearestUpsample,
)
networks = pytest.mark.parametrize("make", [small_carafe, small_conv])


def random_batch(n, h, w, dtype=np.float32):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (n, h, w, 3)).astype(dtype)
    return image, (rng.random((n, h, w, 1)) < 0.3).astype(dtype)


def init_and_apply(network, image, mask):
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    return variables, jax.jit(network.apply)(variables, image, mask)


@networks
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (5, 40), (1, 1)])
def test_output_has_the_size_of_the_image(make, size):
    image, mask = random_batch(2, *size)
    _, output = init_and_apply(make(), image, mask)
    assert output.composed.shape == image.shape
    assert output.predicted.shape == image.shape


@networks
def test_given_pixels_are_kept_to_the_bit(make):
    image, mask = random_batch(1, 12, 15)
    _, output = init_and_apply(make(), image, mask)
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(np.asarray(output.composed)[kept], image[kept])


@networks
def test_hole_is_filled_with_the_prediction(make):
    image, mask = random_batch(1, 12, 15)
    _, output = init_and_apply(make(), image, mask)
    hole = mask[..., 0] == 1
    np.testing.assert_array_equal(
        np.asarray(output.composed)[hole], np.asarray(output.predicted)[hole]
    )


@networks
def test_what_the_hole_hides_does_not_matter(make):
    image, mask = random_batch(1, 12, 15)
    variables, output = init_and_apply(make(), image, mask)
    other = np.where(mask > 0, -image, image)
    again = jax.jit(make().apply)(variables, other, mask)
    np.testing.assert_array_equal(again.composed, output.composed)


def test_carafe_network_holds_a_carafe_layer_for_each_stage_and_direction():
    image, mask = random_batch(1, 16, 16)
    variables, _ = init_and_apply(small_carafe(), image, mask)
    params = variables["params"]
    for stage in (1, 2):
        assert "content_encoder" in params[f"down_{stage}"]["carafe"]
        assert params[f"down_{stage}"]["conv"]["kernel"].shape[:2] == (3, 3)
    assert "content_encoder" in params["up_0"]
    assert "content_encoder" in params["up_1"]


def test_resamplers_are_arguments():
    image, mask = random_batch(1, 9, 9)
    network = small_conv(upsample=DeconvUpsample)
    variables, _ = init_and_apply(network, image, mask)
    assert "deconv" in variables["params"]["up_0"]


def test_bfloat16_computation_keeps_the_image_dtype():
    image, mask = random_batch(1, 8, 8)
    variables, output = init_and_apply(small_carafe(dtype=jnp.bfloat16), image, mask)
    assert output.composed.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_every_parameter_gets_a_gradient():
    image, mask = random_batch(2, 16, 16)
    # Small encoder weights, as at the start of training, make tiny gradients: use ones
    # of ordinary size.
    network = small_carafe()
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    keys = jax.random.split(jax.random.key(1), len(jax.tree.leaves(variables)))
    leaves, tree = jax.tree.flatten(variables)
    noisy = [
        x + 0.1 * jax.random.normal(key, x.shape)
        for x, key in zip(leaves, keys, strict=True)
    ]

    def loss(variables):
        return jnp.square(network.apply(variables, image, mask).predicted).mean()

    gradients = jax.jit(jax.grad(loss))(jax.tree.unflatten(tree, noisy))
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert float(jnp.abs(gradient).max()) > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 1)), "`image`.*4 axes"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 1)), "`image`.*uint8"),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 5, 1)), "`mask`.*4, 5"),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4, 3)), "`mask`.*shape"),
    ],
)
def test_wrong_inputs_are_refused(image, mask, message):
    with pytest.raises(ValueError, match=message):
        small_conv().init(jax.random.key(0), image, mask)


def test_activation_is_an_argument():
    image, mask = random_batch(1, 8, 8)
    network = small_conv()
    variables, output = init_and_apply(network, image, mask)
    other = network.clone(activation=nn.relu).apply(variables, image, mask)
    assert not np.allclose(other.predicted, output.predicted)
