"""The U-Net for label maps: its sizes, and its layers, those of inpainting."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import Resampler, UNetBackbone, UNetConfig
from carafe_jax.models.segmentation import SegmenterConfig

SIZES: dict[str, Any] = {"stage_features": (4, 8, 8), "initial_kernels": "gaussian"}


def shapes_of(network: Any, *inputs: Any) -> Any:
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda x: (x.shape, x.dtype.name), shapes["params"])


@pytest.mark.parametrize("size", [(64, 32), (37, 50)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logits_have_the_size_of_the_images(size, dtype):
    config = SegmenterConfig(architecture="unet", dtype=dtype, **SIZES)
    network, images = config.make(5), jnp.zeros((2, *size, 3))
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    logits: Any = jax.eval_shape(network.apply, variables, images)
    assert (logits.shape, logits.dtype) == ((2, *size, 5), jnp.float32)
    assert not config.align_corners


@pytest.mark.parametrize("resampler", get_args(Resampler))
def test_layers_are_those_of_the_network_for_inpainting(resampler):
    fields = {"resampler": resampler, **SIZES}
    config = SegmenterConfig(architecture="unet", compressed_channels=(3, 3), **fields)
    images = jnp.zeros((1, 16, 16, 3))
    inpainting = UNetConfig(compressed_channels=3, **fields)
    expected = shapes_of(inpainting.make(), images, images[..., :1])
    found = shapes_of(config.make(5), images)
    assert set(found) == {"backbone", "classifier"}
    assert found["classifier"]["kernel"][0] == (3, 3, 4, 5)
    backbone = found["backbone"]
    # The input of inpainting has the mask as well.
    assert backbone.pop("stem")["kernel"][0] == (3, 3, 3, 4)
    assert expected.pop("stem")["kernel"][0] == (3, 3, 4, 4)
    del expected["output"]
    assert backbone == expected
    assert config.name == inpainting.name


def test_compressed_channels_are_those_down_and_up():
    config = SegmenterConfig(
        architecture="unet", stage_features=(4, 8), compressed_channels=(2, 3)
    )
    found = shapes_of(config.make(5), jnp.zeros((1, 16, 16, 3)))["backbone"]
    down = found["down_1"]["carafe"]["channel_compressor"]["kernel"][0]
    up = found["up_0"]["channel_compressor"]["kernel"][0]
    assert (down[-1], up[-1]) == (2, 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architecture": "unet", "depth": 18}, "`depth` must keep .* 50, with 'unet'"),
        ({"architecture": "unet", "stem": "plain"}, "`stem` must keep its default"),
        ({"resampler": "conv"}, "`resampler` must keep .*, with 'upernet'"),
        ({"architecture": "unet", "stage_features": ()}, "be one or more positive"),
        ({"architecture": "unet", "stage_features": (4, 0)}, "one or more positive"),
        ({"architecture": "psanet", "attention_window": (4, 3)}, "two positive odd"),
        ({"compressed_channels": (0, 4)}, r"be 2 positive ints, got \(0, 4\)"),
    ],
)
def test_fields_that_break_a_rule_are_refused(fields, words):
    with pytest.raises(RefusedError, match=words):
        SegmenterConfig(**fields)


def test_image_that_is_not_floating_is_refused():
    network = UNetBackbone(stage_features=(4, 8))
    with pytest.raises(RefusedError, match="floating"):
        network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3), jnp.uint8))
