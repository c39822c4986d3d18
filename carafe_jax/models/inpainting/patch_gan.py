"""Patch discriminators (Isola et al. 2017)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.conv_blocks import ConvBlock
from carafe_jax.nn._arguments import checked_features
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory

# As in DCGAN (Radford et al. 2016), for adversarial training.
_kernel_init = nn.initializers.normal(0.02)
_leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.2)


def _scale_init(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def instance_norm(*, use_running_average: bool, **fields: Any) -> nn.InstanceNorm:
    """Return instance normalisation without parameters, with the arguments of a norm.

    Args:
      use_running_average: Unused, as there are no running statistics.
      **fields: Fields of `nn.InstanceNorm`.
    """
    del use_running_average
    return nn.InstanceNorm(
        epsilon=1e-5,
        use_bias=False,
        use_scale=False,
        use_fast_variance=False,  # Cancellation, if a channel's mean is large.
        **fields,
    )


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class PatchGAN(nn.Module):
    """Discriminator that returns a map of logits, one for each patch.

    The outputs equal those of mmediting's PatchDiscriminator. A high logit means that a
    patch looks real. The input is one map: the image, or image and mask concatenated.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import PatchGAN
      >>> network = PatchGAN(features=(8, 16), strides=(2, 2), norm=None)
      >>> features = jnp.zeros((1, 64, 48, 4))
      >>> variables = network.init(jax.random.key(0), features)
      >>> network.apply(variables, features).shape
      (1, 15, 11, 1)

    Attributes:
      features: Channels of each convolution (default: 64, 128, 256, 512).
      strides: Stride of each convolution (default: 2, 2, 2, 1).
      kernel_size: Side of the windows, padded by (kernel_size - 1) // 2; an even
        window with stride 1 makes the map smaller by one (default: 4).
      logits: Channels of a last convolution without stride. None omits it: the logits
        are the last of `features`, as in DeepFillv2 (default: 1).
      norm: Factory of the norm after each convolution but the first and the last, as
        for `ConvBlock`, such as `instance_norm`. None: no norm (default: `BatchNorm`,
        with a scale from a normal distribution around one).
      weight_norm: Factory of a wrapper of each convolution, such as `nn.SpectralNorm`
        (default: None).
      activation: Activation after each convolution but that of `logits` (default:
        leaky ReLU with slope 0.2).
      kernel_init: Initializer of the kernels (default: normal with standard deviation
        0.02).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: Sequence[int] = (64, 128, 256, 512)
    strides: Sequence[int] = (2, 2, 2, 1)
    kernel_size: int = 4
    logits: int | None = 1
    norm: LayerFactory | None = functools.partial(BatchNorm, scale_init=_scale_init)
    weight_norm: LayerFactory | None = None
    activation: Callable[[Array], Array] = _leaky_relu
    kernel_init: Callable[..., Array] = _kernel_init
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        """Raise if a field is invalid."""
        if len(self.strides) != len(self.features):
            raise RefusedError(
                f"`strides` must have one number for each of {len(self.features)} "
                f"`features`, got {self.strides}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Return the logits of the patches.

        Args:
          features: Input map, such as an image in [-1, 1].
          train: Whether norms use the statistics of this batch, and update theirs.

        Raises:
          RefusedError: The map is smaller than the windows, or a field is invalid.
        """
        x = checked_features(features)
        block = functools.partial(
            ConvBlock,
            kernel_size=self.kernel_size,
            weight_norm=self.weight_norm,
            activation=self.activation,
            kernel_init=self.kernel_init,
            **dtypes_of(self, x),
        )
        layers = [
            block(channels, stride=stride, norm=norm, name=f"layer_{index}")
            for index, (channels, stride, norm) in enumerate(
                zip(self.features, self.strides, self._norms(), strict=True)
            )
        ]
        if self.logits is not None:
            layers.append(block(self.logits, activation=None, name="output"))
        for layer in layers:
            least = self.kernel_size - 2 * ((self.kernel_size - 1) // 2)
            # Symbolic sizes, in a program for maps of any size, cannot be compared.
            if any(isinstance(size, int) and size < least for size in x.shape[1:3]):
                raise RefusedError(
                    "`features` must be large enough for "
                    f"{len(layers)} convolutions, got shape {jnp.shape(features)}."
                )
            x = layer(x, train=train)
        return x

    def _norms(self) -> list[LayerFactory | None]:
        return [None, *[self.norm] * len(self.features)][: len(self.features)]


SNPatchGAN = functools.partial(
    PatchGAN,
    features=(64, 128, 256, 256, 256, 256),
    strides=(2, 2, 2, 2, 2, 2),
    kernel_size=5,
    logits=None,
    norm=None,
    weight_norm=nn.SpectralNorm,
)
"""The discriminator of DeepFillv2 (Yu et al., arXiv:1806.03589)."""
