"""`nn.Conv` of flax with the gradients of `carafe_jax.ops.convolution`."""

import functools
from collections.abc import Callable
from typing import Any

from flax import linen as nn

from carafe_jax.ops.convolution import convolve


def _function() -> Callable[..., Any]:
    return convolve


Conv = functools.partial(nn.Conv, conv_general_dilated_cls=_function)
"""Layer with the fields, parameters and values of `nn.Conv`, without forward mode."""
