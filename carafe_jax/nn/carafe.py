"""CARAFE++ layers: predict a kernel for each output pixel, then reassemble."""

from collections.abc import Callable
from fractions import Fraction
from typing import get_args

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import PrecisionLike
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import is_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import (
    as_map,
    check_int,
    check_odd_int,
    checked_scale,
)
from carafe_jax.nn._validity import checked_valid, mask_logits, zero_holes
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes, checked_dtype
from carafe_jax.nn.factories import LayerFactory, make_norm
from carafe_jax.ops import (
    Implementation,
    Normalizer,
    Scale,
    kernels_of_logits,
    parse_scale,
    reassemble_logits,
)

Initializer = Callable[..., Array]

# Normalizers over valid taps alone: each makes the kernels sum to one.
_SUMMING_TO_ONE: dict[Normalizer, Normalizer] = {
    "softmax": "softmax",
    "sigmoid": "normalized_sigmoid",
    "normalized_sigmoid": "normalized_sigmoid",
}


# Our own errors for wrong fields and features are clearer, below as well.
@no_type_check
class CARAFE(nn.Module):
    """Content-aware reassembly of features at any rational scale.

    A `channel_compressor` (1x1 convolution) and a `content_encoder` predict a k x k
    kernel for each output pixel from the content around its source pixel. The kernels
    are normalised, and each output pixel is the weighted sum of its window, as in
    `carafe_jax.reassemble` (arXiv:2012.04733, sections 3.2 and 3.3, Eq. 1 to 3).

    If the collection "intermediates" is mutable, the predicted kernels, of shape
    (N, H_out, W_out, G, k*k), are sown there as "kernels". Otherwise they are
    normalised on the fly and never stored.

    Example:
      >>> import carafe_jax, jax, jax.numpy as jnp
      >>> layer = carafe_jax.CARAFE(scale="3/2", kernel_size=5)
      >>> features = jnp.ones((1, 8, 10, 32))
      >>> variables = layer.init(jax.random.key(0), features)
      >>> layer.apply(variables, features).shape
      (1, 12, 15, 32)

    Attributes:
      scale: Output pixels per source pixel along each side: an int, a
        `fractions.Fraction` or a string such as "1/2" (default: 2).
      kernel_size: Side k of the windows that are reassembled, odd (default: 5).
      encoder_kernel_size: Side of the content encoder's kernel, odd; k - 2 is a good
        choice (section 3.2) (default: 3).
      encoder_dilation: Dilation of the content encoder (default: 1).
      compressed_channels: Channels after the compressor, C_m of the paper; None omits
        the compressor (default: 64).
      groups: Number of channel groups, each with its own kernels (default: 1).
      normalizer: Normalizer of the kernels over their k*k taps: "softmax", or "sigmoid"
        or "normalized_sigmoid" of table XIV (default: "softmax").
      norm: Factory of the norm between the compressor and a ReLU, as in the paper's
        classification backbones: `BatchNorm`, any norm of flax, or a
        `functools.partial` of one (`carafe_jax.nn.factories`). None: neither norm nor
        ReLU (default: None).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
      compressor_kernel_init: Initializer of the compressor (default: Xavier uniform, as
        in mmcv).
      encoder_kernel_init: Initializer of the encoder (default: normal with standard
        deviation 0.001, as in mmcv: kernels start close to a box filter).
      bias_init: Initializer of both biases (default: zeros).
      encoder_bias_init: Initializer of the encoder's bias, such as
        `carafe_jax.nn.gaussian_kernel_bias(...)`; None: `bias_init` (default: None).
      precision: Precision of both convolutions, as in `nn.Conv` (default: None).
      implementation: Implementation of `carafe_jax.reassemble` (default: None, chosen
        by platform).
    """

    scale: Scale = 2
    kernel_size: int = 5
    encoder_kernel_size: int = 3
    encoder_dilation: int = 1
    compressed_channels: int | None = 64
    groups: int = 1
    normalizer: Normalizer = "softmax"
    norm: LayerFactory | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    compressor_kernel_init: Initializer = nn.initializers.xavier_uniform()
    encoder_kernel_init: Initializer = nn.initializers.normal(0.001)
    bias_init: Initializer = nn.initializers.zeros
    encoder_bias_init: Initializer | None = None
    precision: PrecisionLike = None
    implementation: Implementation | None = None

    def __post_init__(self) -> None:
        """Raise if a field is invalid."""
        _check_fields(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "n h w c"],
        train: bool = False,
        *,
        valid: Float[Array, "n h w 1"] | None = None,
    ) -> Float[Array, "n oh ow c"]:
        """Reassemble a feature map.

        Args:
          features: Feature map, floating; C must be a multiple of `groups`.
          train: Whether `norm` uses the statistics of this batch.
          valid: 1 where a pixel is valid, 0 in a hole: kernels are normalised over the
            valid pixels of a window alone, as in `carafe_jax.nn.PartialCARAFE`. None:
            kernels are normalised over all taps.

        Returns:
          The map at `scale` times the size, ceil(H * u / d) x ceil(W * u / d), in
          `dtype` if that is given, else in the dtype of `features`.

        Raises:
          RefusedError: `features` is not of rank 4, not floating, has no pixel or no
            channel, or C is no multiple of `groups`; or `valid` does not fit it.
        """
        features = as_map(features)
        _check_features(features, self.groups)
        dtype = self.dtype or features.dtype
        features, normalizer = features.astype(dtype), self.normalizer
        if valid is not None:
            valid = checked_valid(valid, features)
            features = zero_holes(features, valid)
        logits = self._encode(features, dtype, train=train)
        if valid is not None:
            logits = mask_logits(
                logits, valid, scale=self.scale, kernel_size=self.kernel_size
            )
            normalizer = _SUMMING_TO_ONE[normalizer]
        if self.is_mutable_collection("intermediates"):
            kernels = self._kernels(logits, features.shape, normalizer)
            self.sow("intermediates", "kernels", kernels)
        return reassemble_logits(
            features,
            logits,
            kernel_size=self.kernel_size,
            groups=self.groups,
            normalizer=normalizer,
            scale=self.scale,
            implementation=self.implementation,
        )

    def _encode(
        self, features: Float[Array, "n h w c"], dtype: DTypeLike, *, train: bool
    ) -> Float[Array, "n ah aw channels"]:
        """Return the logits; channel = ((py * u + px) * G + g) * k*k + tap."""
        scale = parse_scale(self.scale)
        dtypes = Dtypes(dtype=dtype, param_dtype=self.param_dtype)
        if self.compressed_channels is not None:
            features = Conv(
                self.compressed_channels,
                (1, 1),
                use_bias=self.norm is None,
                kernel_init=self.compressor_kernel_init,
                bias_init=self.bias_init,
                precision=self.precision,
                name="channel_compressor",
                **dtypes,
            )(features)
            if self.norm is not None:
                norm = make_norm(
                    self.norm, train=train, name="compressor_norm", **dtypes
                )
                features = nn.relu(norm(features))
        # Symmetric, so that the encoder's window is centred on the source pixel.
        pad = self.encoder_dilation * (self.encoder_kernel_size // 2)
        return Conv(
            scale.numerator**2 * self.groups * self.kernel_size**2,
            (self.encoder_kernel_size, self.encoder_kernel_size),
            strides=scale.denominator,
            padding=((pad, pad), (pad, pad)),
            kernel_dilation=self.encoder_dilation,
            kernel_init=self.encoder_kernel_init,
            bias_init=self.encoder_bias_init or self.bias_init,
            precision=self.precision,
            name="content_encoder",
            **dtypes,
        )(features)

    def _kernels(
        self,
        logits: Float[Array, "n ah aw channels"],
        shape: tuple[int, ...],
        normalizer: Normalizer,
    ) -> Float[Array, "n oh ow g taps"]:
        """Return the normalised kernels, for visualisation."""
        return kernels_of_logits(
            logits,
            size=(shape[1], shape[2]),
            scale=self.scale,
            kernel_size=self.kernel_size,
            groups=self.groups,
            normalizer=normalizer,
        )


@no_type_check
class CARAFEUpsample(CARAFE):
    """`CARAFE` with a scale of at least 1; the defaults are the paper's (section 5.1).

    Attributes:
      scale: Output pixels per source pixel along each side (default: 2).
      compressed_channels: Channels after the compressor (default: 64).
    """

    scale: Scale = 2
    compressed_channels: int | None = 64

    def __post_init__(self) -> None:
        """Raise if a field is invalid."""
        checked_scale(self.scale, "up")
        super().__post_init__()


@no_type_check
class CARAFEDownsample(CARAFE):
    """`CARAFE` with a scale of at most 1; the defaults are the paper's (section 5.1).

    Attributes:
      scale: Output pixels per source pixel along each side (default: 1/2).
      compressed_channels: Channels after the compressor (default: 16).
    """

    scale: Scale = Fraction(1, 2)
    compressed_channels: int | None = 16

    def __post_init__(self) -> None:
        """Raise if a field is invalid."""
        checked_scale(self.scale, "down")
        super().__post_init__()


def _check_fields(layer: CARAFE) -> None:
    parse_scale(layer.scale)
    for name in ("kernel_size", "encoder_kernel_size"):
        check_odd_int(name, getattr(layer, name))
    for name in ("encoder_dilation", "groups"):
        check_int(name, getattr(layer, name))
    checked_dtype("dtype", layer.dtype, default=jnp.float32)
    checked_dtype("param_dtype", layer.param_dtype)
    channels = layer.compressed_channels
    if channels is not None and not is_count(channels):
        raise RefusedError(
            f"`compressed_channels` must be None or a positive int, got {channels!r}."
        )
    if channels is None and layer.norm is not None:
        raise RefusedError(
            "`norm` follows the channel compressor: it needs `compressed_channels`, "
            "got None."
        )
    if layer.normalizer not in get_args(Normalizer):
        names = ", ".join(map(repr, get_args(Normalizer)))
        raise RefusedError(
            f"`normalizer` must be one of {names}, got {layer.normalizer!r}."
        )


def _check_features(features: Array, groups: int) -> None:
    shape, dtype = features.shape, features.dtype
    if len(shape) != 4:
        raise RefusedError(
            f"`features` must have rank 4, (N, H, W, C), got shape {shape}."
        )
    if not jnp.issubdtype(dtype, jnp.floating) or dtype.itemsize < 2:
        raise RefusedError(
            f"`features` must be of a floating dtype of at least 16 bits, got {dtype}."
        )
    if 0 in shape[1:]:
        raise RefusedError(
            f"`features` must have at least one pixel and channel, got shape {shape}."
        )
    if shape[3] % groups:
        raise RefusedError(
            f"`features` must have a multiple of `groups` = {groups} channels, "
            f"got {shape[3]}."
        )
