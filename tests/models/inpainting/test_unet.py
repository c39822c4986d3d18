import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.models import UNet, spline_fill
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


def random_batch(n, h, w, dtype=np.float32):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (n, h, w, 3)).astype(dtype)
    return image, (rng.random((n, h, w, 1)) < 0.3).astype(dtype)


def init_and_apply(network, image, mask) -> tuple[Any, Any]:
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    return variables, jax.jit(network.apply)(variables, image, mask)


class Example(NamedTuple):
    image: np.ndarray
    mask: np.ndarray
    variables: Any
    fill: Callable[..., Any]


@pytest.fixture(scope="module", params=[small_carafe, small_conv])
def example(request):
    """One compiled network, its parameters and a batch."""
    network = request.param()
    image, mask = random_batch(1, 12, 15)
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    return Example(image, mask, variables, jax.jit(network.apply))


@pytest.mark.parametrize("make", [small_carafe, small_conv])
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (5, 40), (1, 1)])
def test_output_has_the_size_of_the_image(make, size):
    image, mask = random_batch(2, *size)
    init = make().init_with_output
    output, _ = jax.eval_shape(init, jax.random.key(0), image, mask)
    assert output.composed.shape == image.shape
    assert output.predicted.shape == image.shape


def test_given_pixels_are_kept_to_the_bit(example):
    output = example.fill(example.variables, example.image, example.mask)
    kept = example.mask[..., 0] == 0
    np.testing.assert_array_equal(
        np.asarray(output.composed)[kept], example.image[kept]
    )


def test_hole_is_filled_with_the_prediction(example):
    output = example.fill(example.variables, example.image, example.mask)
    hole = example.mask[..., 0] == 1
    # Equal but for one rounding: the compiler may fuse the last sum into the product.
    np.testing.assert_allclose(
        np.asarray(output.composed)[hole],
        np.asarray(output.predicted)[hole],
        rtol=0,
        atol=1e-6,
    )


def test_pixels_in_the_hole_have_no_effect(example):
    output = example.fill(example.variables, example.image, example.mask)
    other = np.where(example.mask > 0, -example.image, example.image)
    again = example.fill(example.variables, other, example.mask)
    np.testing.assert_array_equal(again.composed, output.composed)


def test_brighter_image_is_filled_brighter(example):
    output = example.fill(example.variables, example.image, example.mask)
    brighter = example.fill(example.variables, example.image + 0.25, example.mask)
    # Float32 rounding of the mean, through a few layers.
    np.testing.assert_allclose(brighter.composed, output.composed + 0.25, atol=1e-5)


def test_image_without_a_given_pixel_is_filled(example):
    everything = np.ones_like(example.mask)
    output = example.fill(example.variables, example.image, everything)
    assert np.isfinite(output.composed).all()


def test_carafe_network_holds_a_carafe_layer_for_each_stage_and_direction():
    image, mask = random_batch(1, 16, 16)
    variables: Any = jax.eval_shape(small_carafe().init, jax.random.key(0), image, mask)
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
    variables, output = init_and_apply(
        small_carafe(dtype=jnp.bfloat16, stage_features=(4, 8)), image, mask
    )
    assert output.composed.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.slow
def test_every_parameter_gets_a_gradient():
    image, mask = random_batch(2, 16, 16)
    # Small encoder weights, as at the start of training, make tiny gradients: use ones
    # of ordinary size.
    network = small_carafe(stage_features=(4, 8), middle_dilations=(1,))
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    keys = jax.random.split(jax.random.key(1), len(jax.tree.leaves(variables)))
    leaves, tree = jax.tree.flatten(variables)
    noisy = [
        x + 0.1 * jax.random.normal(key, x.shape)
        for x, key in zip(leaves, keys, strict=True)
    ]

    def loss(variables):
        output: Any = network.apply(variables, image, mask)
        return jnp.square(output.predicted).mean()

    gradients = jax.jit(jax.grad(loss))(jax.tree.unflatten(tree, noisy))
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert float(jnp.abs(gradient).max()) > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 1)), "`image`.*rank 4"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 1)), "`image`.*uint8"),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 5, 1)), "`mask`.*4, 5"),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4, 3)), "`mask`.*shape"),
    ],
)
def test_wrong_inputs_are_refused(image, mask, message):
    with pytest.raises(ValueError, match=message):
        small_conv().init(jax.random.key(0), image, mask)


def test_stages_without_features_are_refused():
    image, mask = random_batch(1, 4, 4)
    with pytest.raises(ValueError, match="`stage_features` must be one or more"):
        UNet(stage_features=()).init(jax.random.key(0), image, mask)


def test_activation_is_an_argument():
    image, mask = random_batch(1, 8, 8)
    network = small_conv()
    variables, output = init_and_apply(network, image, mask)
    other: Any = network.clone(activation=nn.relu).apply(variables, image, mask)
    assert not np.allclose(other.predicted, output.predicted)


@pytest.mark.parametrize("make", [small_carafe, small_conv])
def test_network_with_a_starting_fill_starts_from_it(make):
    image, mask = random_batch(2, 17, 23)
    _, output = init_and_apply(make(starting_fill=spline_fill), image, mask)
    chex.assert_trees_all_equal(output.composed, jax.jit(spline_fill)(image, mask))


@pytest.mark.parametrize(
    ("starting_fill", "message"),
    [
        ("spline", "must be a function of an image and a mask, .* got 'spline'"),
        (lambda image, mask: None, "must return a floating image .* got None"),
        (lambda image, mask: image[..., :1], r"got float32 of shape \(1, 9, 9, 1\)"),
        (lambda image, mask: image.astype(int), r"got int32 of shape \(1, 9, 9, 3\)"),
    ],
)
def test_invalid_starting_fill_is_refused(starting_fill, message):
    image, mask = random_batch(1, 9, 9)
    network = small_conv(starting_fill=starting_fill)
    with pytest.raises(RefusedError, match=f"`starting_fill` .*{message}"):
        jax.eval_shape(network.init, jax.random.key(0), image, mask)


def test_prediction_that_is_not_finite_stays_out_of_given_pixels():
    image, mask = random_batch(1, 9, 9)
    network = small_conv(starting_fill=lambda image, mask: image * jnp.nan)
    _, output = init_and_apply(network, image, mask)
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(np.asarray(output.composed)[kept], image[kept])


def test_network_with_a_starting_fill_learns_to_leave_it():
    image, mask = random_batch(2, 16, 16)
    network = small_conv(starting_fill=spline_fill)
    variables = network.init(jax.random.key(0), image, mask)

    def loss(variables):
        output: Any = network.apply(variables, image, mask)
        return jnp.square(output.predicted - 1).sum()

    gradient = jax.jit(jax.grad(loss))(variables)["params"]["output"]["kernel"]
    assert jnp.abs(gradient).max() > 1e-3
