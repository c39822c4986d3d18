"""The layer of DCNv2 against mmcv's numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.nn import DeformableConv
from tests.nn.torch_goldens import check_layer


def pack_params(golden, prefix):
    def kernel(name):
        return golden[f"{prefix}/{name}"].transpose(2, 3, 1, 0)

    bias = golden[f"{prefix}/conv_offset.bias"]
    offsets = {"kernel": kernel("conv_offset.weight"), "bias": bias}
    return {"kernel": kernel("weight"), "offset_conv": offsets}


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # In float32, gradients of the offsets' bias sum 144 values of up to about 10.
    [("float64", 1e-9), ("float32", 1e-4)],
)
def test_output_and_gradients_are_those_of_mmcv(dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        layer = DeformableConv(6, (3, 3))
        check_layer(
            "dcnv2_pack",
            layer,
            pack_params,
            dtype=jnp.dtype(dtype),
            tolerance=tolerance,
        )


def test_layer_starts_as_half_of_the_convolution():
    features = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype(np.float32)
    layer = DeformableConv(3, (3, 3), strides=2, feature_group_count=1)
    out, variables = jax.jit(layer.init_with_output)(jax.random.key(0), features)
    conv = nn.Conv(3, (3, 3), strides=2, padding=1, use_bias=False)
    kernel = {"params": {"kernel": variables["params"]["kernel"]}}
    # Float32 rounds sums of 36 products.
    expected: Any = conv.apply(kernel, features)
    np.testing.assert_allclose(2 * out, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "shapes"),
    [
        ({}, ((3, 5, 4, 6), (3, 5, 4, 45))),
        ({"feature_group_count": 2}, ((3, 5, 2, 6), (3, 5, 4, 45))),
        ({"deform_groups": 2}, ((3, 5, 4, 6), (3, 5, 4, 90))),
    ],
)
def test_shapes_of_parameters(fields, shapes):
    layer = DeformableConv(6, (3, 5), padding=2, kernel_dilation=2, **fields)
    out, variables = jax.eval_shape(
        layer.init_with_output, jax.random.key(0), jnp.zeros((1, 7, 9, 4))
    )
    assert out.shape == (1, 7, 5, 6)
    params = variables["params"]
    offsets = params["offset_conv"]
    assert (params["kernel"].shape, offsets["kernel"].shape) == shapes
    assert offsets["bias"].shape == shapes[1][-1:]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": 0}, "`features` must be a positive int, got 0"),
        ({"kernel_size": 3}, "`kernel_size` must be 2 positive ints, got 3"),
        ({"kernel_size": (3,)}, r"`kernel_size` must be 2 positive ints, got \(3,"),
        ({"strides": (2, 2)}, "`strides` must be a positive int"),
        ({"padding": -1}, "`padding` must be an int of at least 0"),
        (
            {"feature_group_count": 3},
            "`feature_group_count` must divide the 4 channels",
        ),
        ({"deform_groups": 3}, "`deform_groups` must divide the 4 channels"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    layer = DeformableConv(**({"features": 6, "kernel_size": (3, 3)} | fields))
    with pytest.raises(RefusedError, match=message):
        jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 4, 4, 4)))
