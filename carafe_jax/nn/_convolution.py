"""The convolution of plain resamplers."""

from typing import Any

from flax import linen as nn
from flax.typing import Dtype

from carafe_jax.errors import RefusedError
from carafe_jax.nn._arguments import check_kernel_size

default_kernel_init = nn.initializers.xavier_uniform()
default_bias_init = nn.initializers.zeros_init()


def zero_padded_conv(
    layer: Any,
    channels: int,
    dtype: Dtype,
    stride: int = 1,
) -> nn.Conv:
    """Make the convolution that the fields of a layer describe."""
    check_kernel_size(layer.kernel_size)
    if layer.kernel_size % 2 == 0:
        raise RefusedError(f"`kernel_size` must be odd, got {layer.kernel_size}.")
    return nn.Conv(
        channels,
        (layer.kernel_size, layer.kernel_size),
        strides=stride,
        padding=layer.kernel_size // 2,
        use_bias=layer.use_bias,
        dtype=dtype,
        param_dtype=layer.param_dtype,
        precision=layer.precision,
        kernel_init=layer.kernel_init,
        bias_init=layer.bias_init,
        name="conv",
    )
