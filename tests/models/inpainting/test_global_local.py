"""Global&Local against goldens of PyTorch, and its layers as arguments."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.interop import mmediting_global_local_to_flax
from carafe_jax.models import (
    CARAFEConv,
    GlobalLocal,
    GlobalLocalCARAFE,
    PartialGlobalLocal,
    PartialGlobalLocalCARAFE,
)
from carafe_jax.nn import (
    BatchNorm,
    CARAFEUpsample,
    PartialCARAFE,
    PartialResampleConv,
)
from tests.models.inpainting import mmediting_goldens

# Few channels, as compiling the reassemblies takes most of the time.
carafe = functools.partial(CARAFEUpsample, compressed_channels=4)
small_carafe = functools.partial(
    GlobalLocalCARAFE,
    width=2,
    upsample=functools.partial(CARAFEConv, reassembly=carafe),
)
small_conv = functools.partial(GlobalLocal, width=2)
small_partial = functools.partial(PartialGlobalLocal, width=2)
small_partial_carafe = functools.partial(
    PartialGlobalLocalCARAFE,
    width=2,
    upsample=functools.partial(
        PartialResampleConv,
        resample=functools.partial(PartialCARAFE, reassembly=carafe),
    ),
)
NETWORKS = {
    "carafe": small_carafe,
    "conv": small_conv,
    "partial_carafe": small_partial_carafe,
    "partial": small_partial,
}
networks = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


def random_batch(n, h, w, dtype=np.float32):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (n, h, w, 3)).astype(dtype)
    return image, (rng.random((n, h, w, 1)) < 0.3).astype(dtype)


def full_width(state_dict):
    """Pad the weights of the recorded decoder to the channels of the network.

    In one golden its first two layers have 4 channels, in the network 32. The weights
    of the other channels are zero, so they add nothing and receive no gradient.
    """
    width = state_dict["encoder.enc1.conv.weight"].shape[0]
    wide, half = 4 * width, 2 * width
    shapes = {
        "decoder.dec1.conv.weight": (wide, wide, 3, 3),
        "decoder.dec2.conv.weight": (wide, wide, 3, 3),
        "decoder.dec3.conv.weight": (wide, half, 4, 4),
    }
    return {name: padded(x, shapes.get(name)) for name, x in state_dict.items()} | {
        name: padded(x, (wide,))
        for name, x in state_dict.items()
        if name.startswith(("decoder.dec1.bn", "decoder.dec2.bn")) and x.ndim
    }


def padded(array, shape):
    if shape is None:
        return array
    return np.pad(array, [(0, n - m) for m, n in zip(array.shape, shape, strict=True)])


def convert(state_dict):
    return mmediting_global_local_to_flax(full_width(state_dict))


@pytest.mark.parametrize(
    ("name", "width", "norm", "dtype", "tolerance"),
    [
        ("gl_generator_nonorm", 4, None, "float64", 1e-9),
        ("gl_generator_train", 8, BatchNorm, "float64", 1e-9),
        # Ten times what PyTorch itself differs from float64.
        ("gl_generator_nonorm", 4, None, "float32", 1e-5),
        ("gl_generator_train", 8, BatchNorm, "float32", 1e-4),
    ],
)
def test_numbers_are_those_of_pytorch(name, width, norm, dtype, tolerance):
    golden = mmediting_goldens.load(name)

    def apply(variables, features):
        # The recorded input is any map of four channels, not an image and a mask.
        network = GlobalLocal(
            width=width,
            norm=norm,
            enter=lambda given, mask: features,
            param_dtype=dtype,
        )
        image, mask = features[..., :3], features[..., 3:]
        output: Any
        output, updates = network.apply(
            variables, image, mask, train=norm is not None, mutable=["batch_stats"]
        )
        return output.predicted, updates.get("batch_stats", {})

    with jax.enable_x64(dtype == "float64"):
        mmediting_goldens.check(
            golden, apply, convert, dtype=dtype, tolerance=tolerance
        )


class Example(NamedTuple):
    image: np.ndarray
    mask: np.ndarray
    variables: Any
    fill: Callable[..., Any]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(make, id=name, marks=pytest.mark.slow if "_" in name else [])
        for name, make in NETWORKS.items()
    ],
)
def example(request):
    """One compiled network, its parameters and a batch of an odd size."""
    network = request.param()
    image, mask = random_batch(1, 13, 18)
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    return Example(image, mask, variables, jax.jit(network.apply))


@networks
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
    np.testing.assert_array_equal(
        np.asarray(output.composed)[hole], np.asarray(output.predicted)[hole]
    )
    assert np.any(np.asarray(output.predicted)[hole] != 0)


def test_pixels_in_the_hole_have_no_effect(example):
    output = example.fill(example.variables, example.image, example.mask)
    other = np.where(example.mask > 0, np.nan, example.image)
    again = example.fill(example.variables, other, example.mask)
    np.testing.assert_array_equal(again.composed, output.composed)


def test_prediction_is_clipped_and_passes_no_gradient_outside():
    image, mask = random_batch(1, 4, 4)
    network = small_conv()
    variables: Any = jax.jit(network.init)(jax.random.key(0), image, mask)

    def red(bias):
        output = {**variables["params"]["output"]["conv"], "bias": bias}
        params = {**variables["params"], "output": {"conv": output}}
        filled: Any = network.apply({"params": params}, image, mask)
        return filled.predicted.sum((0, 1, 2))

    far = jnp.asarray([100.0, -100.0, 0.0])
    np.testing.assert_array_equal(jax.jit(red)(far)[:2], [16, -16])
    gradient = jax.jit(jax.grad(lambda bias: red(bias).sum()))(far)
    np.testing.assert_array_equal(gradient[:2], [0, 0])
    assert gradient[2] > 0


def test_carafe_is_in_two_places_of_each_direction():
    image, mask = random_batch(1, 16, 16)
    network = GlobalLocalCARAFE(norm=BatchNorm)
    params = jax.eval_shape(network.init, jax.random.key(0), image, mask)["params"]
    compressed = {
        name: layer["carafe"]["channel_compressor"]["kernel"].shape[-1]
        for name, layer in params.items()
        if "carafe" in layer
    }
    assert compressed == {"down_1": 16, "down_2": 16, "up_1": 64, "up_0": 64}
    for name in compressed:
        assert set(params[name]) == {"carafe", "conv", "norm"}


def test_plain_network_has_the_channels_of_the_paper():
    image, mask = random_batch(1, 16, 16)
    params = jax.eval_shape(GlobalLocal().init, jax.random.key(0), image, mask)
    shapes = {
        name: next(iter(layer.values()))["kernel"].shape
        for name, layer in params["params"].items()
    }
    assert shapes == {
        "stem": (5, 5, 4, 64),
        "down_1": (3, 3, 64, 128),
        "encoder_1": (3, 3, 128, 128),
        "down_2": (3, 3, 128, 256),
        "encoder_2_0": (3, 3, 256, 256),
        "encoder_2_1": (3, 3, 256, 256),
        **{f"middle_{i}": (3, 3, 256, 256) for i in range(4)},
        "decoder_2_0": (3, 3, 256, 256),
        "decoder_2_1": (3, 3, 256, 256),
        "up_1": (4, 4, 256, 128),
        "decoder_1": (3, 3, 128, 128),
        "up_0": (4, 4, 128, 64),
        "decoder_0": (3, 3, 64, 32),
        "output": (3, 3, 32, 3),
    }


@pytest.mark.parametrize("make", [PartialGlobalLocal, PartialGlobalLocalCARAFE])
def test_partial_networks_have_the_same_layers_but_no_mask_channel(make):
    image, mask = random_batch(1, 16, 16)
    params = jax.eval_shape(make().init, jax.random.key(0), image, mask)["params"]
    plain = jax.eval_shape(GlobalLocal().init, jax.random.key(0), image, mask)
    assert set(params) == set(plain["params"])
    shapes = {name: layer["conv"]["kernel"].shape for name, layer in params.items()}
    assert shapes["stem"] == (5, 5, 3, 64)
    assert shapes["up_0"] == (3, 3, 128, 64)
    resamplers = {name for name, layer in params.items() if "resample" in layer}
    carafe = make is PartialGlobalLocalCARAFE
    assert resamplers == ({"down_1", "down_2", "up_1", "up_0"} if carafe else set())


@pytest.mark.parametrize("make", [small_partial, small_partial_carafe])
def test_partial_networks_of_a_picture_without_given_pixels_are_zero(make):
    image, _ = random_batch(1, 8, 8)
    mask = np.ones((1, 8, 8, 1), np.float32)
    network = make()
    variables = jax.eval_shape(network.init, jax.random.key(0), image, mask)
    ones = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), variables)
    output: Any = jax.jit(network.apply)(ones, image, mask)
    np.testing.assert_array_equal(output.composed, 0)


class Masked(NamedTuple):
    features: Any
    valid: Any


class MaskedBlock(nn.Module):
    """A layer of another kind of map: features, and where they are valid."""

    features: int
    kernel_size: int = 3
    dilation: int = 1
    stride: int = 1
    repeats: int = 1
    norm: Any = None
    activation: Any = None
    dtype: Any = None
    param_dtype: Any = None

    @nn.compact
    def __call__(self, x: Masked, *, train: bool) -> Masked:
        conv = nn.Conv(self.features, (3, 3), self.stride, padding=1, name="conv")
        valid = x.valid[:, :: self.stride, :: self.stride]
        maps = Masked(conv(x.features * x.valid), valid)
        return jax.tree.map(
            lambda x: x.repeat(self.repeats, 1).repeat(self.repeats, 2), maps
        )


def test_map_between_layers_may_be_a_tree():
    seen = []

    def enter(given, mask):
        return Masked(given, 1 - mask)

    def leave(x):
        seen.append(jax.tree.map(jnp.shape, x))
        return x.features

    network = GlobalLocal(
        width=2,
        block=MaskedBlock,
        downsample=functools.partial(MaskedBlock, stride=2),
        upsample=functools.partial(MaskedBlock, repeats=2),
        enter=enter,
        leave=leave,
    )
    image, mask = random_batch(2, 7, 9)
    output, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), image, mask)
    assert output.composed.shape == image.shape
    assert seen == [Masked((2, 7, 9, 3), (2, 7, 9, 1))]


@networks
def test_bfloat16_computation_keeps_the_image_dtype(make):
    image, mask = random_batch(1, 8, 8)
    network = make(dtype=jnp.bfloat16, norm=BatchNorm)
    output, variables = jax.eval_shape(
        network.init_with_output, jax.random.key(0), image, mask
    )
    assert output.composed.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_bfloat16_is_near_float32():
    image, mask = random_batch(1, 8, 8)
    network = small_conv()
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    exact: Any = jax.jit(network.apply)(variables, image, mask)
    half: Any = jax.jit(network.clone(dtype=jnp.bfloat16).apply)(variables, image, mask)
    # Seventeen layers, each rounded to 2^-9 of its values.
    np.testing.assert_allclose(half.predicted, exact.predicted, atol=0.05)


def test_activation_is_passed_to_the_layers():
    image, mask = random_batch(1, 8, 8)
    network = small_conv()
    variables = jax.jit(network.init)(jax.random.key(0), image, mask)
    output: Any = jax.jit(network.apply)(variables, image, mask)
    elu = jax.jit(network.clone(activation=nn.elu).apply)
    other: Any = elu(variables, image, mask)
    assert not np.allclose(other.predicted, output.predicted)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 1)), "`image`.*rank 4"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 1)), "`image`.*uint8"),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 5, 1)), "`mask`.*4, 5"),
    ],
)
def test_wrong_inputs_are_refused(image, mask, message):
    with pytest.raises(ValueError, match=message):
        small_conv().init(jax.random.key(0), image, mask)


@pytest.mark.parametrize("width", [0, 3])
def test_odd_width_is_refused(width):
    with pytest.raises(ValueError, match=f"`width` must be .*even, got {width}"):
        GlobalLocal(width=width)
