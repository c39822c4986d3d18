"""ResNet with its down-sampler as an argument (arXiv:2012.04733, section 4.1)."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.resampling import resample
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.dtypes import Dtypes, dtypes_of
from carafe_jax.nn.factories import LayerFactory, bind, check_factory, make_norm
from carafe_jax.nn.resamplers.pooling import MaxPoolDownsample

# As in torchvision, and in He et al. 2015 for ReLU networks.
_conv_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Stages(NamedTuple):
    """Feature maps of a backbone, at 1/4, 1/8, 1/16 and 1/32 of the image's size."""

    c2: Float[Array, "n h2 w2 f2"]
    c3: Float[Array, "n h3 w3 f3"]
    c4: Float[Array, "n h4 w4 f4"]
    c5: Float[Array, "n h5 w5 f5"]


class Layers(NamedTuple):
    """Layer factories of a block, with the dtypes bound."""

    conv: LayerFactory
    norm: LayerFactory
    last_norm: LayerFactory
    downsample: LayerFactory | None
    param_dtype: DTypeLike = jnp.float32


# `ResNet` checks the fields of these four classes, with clearer errors.
@no_type_check
class Stem(nn.Module):
    """Res-1: a 7x7 convolution with stride 2, then the stem's down-sampling.

    Attributes:
      features: Channels of the convolution.
      layers: Layer factories.
      pool: Factory of the last layer, which halves the map.
    """

    features: int
    layers: Layers
    pool: LayerFactory

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Return a map at a quarter of the image's size."""
        conv, norm = self.layers.conv, _norms(self.layers.norm, train=train)
        x = conv(self.features, (7, 7), strides=2, padding=3, name="conv1")(x)
        x = nn.relu(norm(name="norm1")(x))
        return _downsample(self.layers, self.pool, x, "downsample", train=train)


@no_type_check
class DeepStem(nn.Module):
    """Res-1 of the segmentation baselines: three 3x3 convolutions, the first strided.

    The last one has twice the channels.

    Attributes:
      features: Channels of the first two convolutions.
      layers: Layer factories.
      pool: Factory of the last layer, which halves the map.
    """

    features: int
    layers: Layers
    pool: LayerFactory

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Return a map at a quarter of the image's size."""
        conv, norm = self.layers.conv, _norms(self.layers.norm, train=train)
        widths = (self.features, self.features, 2 * self.features)
        for index, (width, stride) in enumerate(zip(widths, (2, 1, 1), strict=True), 1):
            x = conv(width, (3, 3), strides=stride, padding=1, name=f"conv{index}")(x)
            x = nn.relu(norm(name=f"norm{index}")(x))
        return _downsample(self.layers, self.pool, x, "downsample", train=train)


@no_type_check
class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, the block of ResNet-18 and ResNet-34.

    Attributes:
      features: Channels of the output.
      stride: Stride of the block, 2 to halve the map.
      layers: Layer factories.
    """

    expansion = 1

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Apply the block."""
        conv = self.layers.conv
        norm = _norms(self.layers.norm, train=train)
        last = _norms(self.layers.last_norm, train=train)
        y, stride = _halved(self, x, "downsample", train=train)
        y = conv(self.features, (3, 3), strides=stride, padding=1, name="conv1")(y)
        y = nn.relu(norm(name="norm1")(y))
        y = conv(self.features, (3, 3), padding=1, name="conv2")(y)
        y = last(name="norm2")(y)
        return nn.relu(y + _shortcut(self, x, self.features, train=train))


@no_type_check
class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut, for ResNet-50 and deeper.

    The 3x3 convolution has the stride ("v1.5"), as in torchvision. A down-sampler is
    placed before it and before the shortcut's convolution, which then have no stride
    (figure 4 of CARAFE++).

    Attributes:
      features: Channels of the inner convolutions; the output has four times as many.
      stride: Stride of the block, 2 to halve the map.
      layers: Layer factories.
    """

    expansion = 4

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Apply the block."""
        conv = self.layers.conv
        norm = _norms(self.layers.norm, train=train)
        last = _norms(self.layers.last_norm, train=train)
        y = conv(self.features, (1, 1), name="conv1")(x)
        y = nn.relu(norm(name="norm1")(y))
        y, stride = _halved(self, y, "downsample", train=train)
        y = conv(self.features, (3, 3), strides=stride, padding=1, name="conv2")(y)
        y = nn.relu(norm(name="norm2")(y))
        y = conv(4 * self.features, (1, 1), name="conv3")(y)
        y = last(name="norm3")(y)
        return nn.relu(y + _shortcut(self, x, 4 * self.features, train=train))


# Our own errors for wrong fields and images are clearer.
@no_type_check
class ResNet(nn.Module):
    """The convolutional part of a ResNet, as the backbone of other networks.

    A down-sampler is used in seven places (arXiv:2012.04733, section 4.1): it replaces
    the stem's max pooling, and precedes the 3x3 convolution and the shortcut's
    convolution in the first block of Res-3, Res-4 and Res-5. Padding is symmetric, so
    that a map of any size is halved to ceil(H / 2).

    Example:
      >>> import functools, jax, jax.numpy as jnp
      >>> from carafe_jax.models import ResNet18
      >>> from carafe_jax.nn import BatchNorm, CARAFEDownsample
      >>> downsample = functools.partial(CARAFEDownsample, norm=BatchNorm)
      >>> backbone = ResNet18(downsample=downsample)
      >>> image = jnp.zeros((1, 64, 50, 3))
      >>> variables = jax.eval_shape(backbone.init, jax.random.key(0), image)
      >>> jax.eval_shape(backbone.apply, variables, image).c5.shape
      (1, 2, 2, 512)

    Attributes:
      stage_sizes: Number of blocks of Res-2 to Res-5.
      block: Factory of the blocks: `BasicBlock`, `Bottleneck`, or `LIPBlock` of
        `carafe_jax.models`.
      width: Channels of the stem, and inside the blocks of Res-2; each stage has twice
        as many as the one before (default: 64).
      stem: Stem, `Stem` or `DeepStem` (default: `Stem`).
      downsample: Factory of the down-samplers: `CARAFEDownsample`, in the paper with
        `norm=BatchNorm`, any other down-sampler of `carafe_jax.nn`, a
        `functools.partial` of one, or another factory (`carafe_jax.nn.factories`). None
        is the original: strided convolutions, and max pooling in the stem (default:
        None).
      norm: Factory of the norms: `BatchNorm`, a norm of flax such as `nn.GroupNorm`, a
        `functools.partial` of one, or another factory (default: `BatchNorm`).
      last_scale_init: Initializer of the scale of the last norm of each block. With
        zeros, blocks start as their shortcuts (Goyal et al. 2017) (default: zeros).
      rematerialize: "blocks" stores only the input of each block for the backward pass
        and recomputes the rest: less memory, a third more work (default: "nothing").
      dtype: Dtype of the computation (default: that of the image).
      param_dtype: Dtype of the parameters (default: float32).
    """

    stage_sizes: Sequence[int]
    block: LayerFactory
    width: int = 64
    stem: type[Stem] | type[DeepStem] = Stem
    downsample: LayerFactory | None = None
    norm: LayerFactory = BatchNorm
    last_scale_init: Callable[..., Array] = nn.initializers.zeros
    rematerialize: Literal["nothing", "blocks"] = "nothing"
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], train: bool = False) -> Stages:
        """Return the feature maps of an image.

        Args:
          image: Floating image, normalised as the weights require.
          train: Whether norms use the statistics of this batch.

        Raises:
          RefusedError: The image is not of rank 4 or not floating, or a field is
            invalid.
        """
        image = jnp.asarray(image)
        _check_fields(self)
        _check_image(image)
        dtypes = dtypes_of(self, image)
        layers = self._layers(dtypes)
        pool = MaxPoolDownsample if self.downsample is None else self.downsample
        stem = self.stem(
            features=self.width,
            layers=layers,
            pool=pool,
            name="stem",
        )
        x = stem(image.astype(dtypes["dtype"]), train)
        block = self.block
        maps: list[Array] = []
        if self.rematerialize == "blocks":
            block = nn.remat(block, static_argnums=(2,))
        for stage, blocks in enumerate(self.stage_sizes):
            for index in range(blocks):
                x = block(
                    features=self.width * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    layers=layers,
                    name=f"res{stage + 2}_{index}",
                )(x, train)
            maps.append(x)
        return Stages(*maps)

    def _layers(self, dtypes: Dtypes) -> Layers:
        conv = functools.partial(
            nn.Conv, use_bias=False, kernel_init=_conv_init, **dtypes
        )
        norm = bind("norm", self.norm, **dtypes)
        starts = {"scale_init": self.last_scale_init}
        last = bind("norm", norm, required=starts)
        return Layers(conv, norm, last, self.downsample, dtypes["param_dtype"])


ResNet18 = functools.partial(ResNet, stage_sizes=(2, 2, 2, 2), block=BasicBlock)
ResNet34 = functools.partial(ResNet, stage_sizes=(3, 4, 6, 3), block=BasicBlock)
ResNet50 = functools.partial(ResNet, stage_sizes=(3, 4, 6, 3), block=Bottleneck)
ResNet101 = functools.partial(ResNet, stage_sizes=(3, 4, 23, 3), block=Bottleneck)
ResNet152 = functools.partial(ResNet, stage_sizes=(3, 8, 36, 3), block=Bottleneck)


def _halved(
    block: BasicBlock | Bottleneck, x: Array, name: str, *, train: bool
) -> tuple[Array, int]:
    """Down-sample before a convolution; return the map and the convolution's stride."""
    if block.stride == 1 or block.layers.downsample is None:
        return x, block.stride
    return _downsample(block.layers, block.layers.downsample, x, name, train=train), 1


def _downsample(
    layers: Layers, factory: LayerFactory, x: Array, name: str, *, train: bool
) -> Array:
    return resample(
        "downsample",
        factory,
        x,
        train,
        name=name,
        dtype=x.dtype,
        param_dtype=layers.param_dtype,
    )


def _norms(norm: LayerFactory, *, train: bool) -> LayerFactory:
    return functools.partial(make_norm, norm, train=train)


def _shortcut(
    block: BasicBlock | Bottleneck, x: Array, features: int, *, train: bool
) -> Array:
    if block.stride == 1 and x.shape[-1] == features:
        return x
    x, stride = _halved(block, x, "shortcut_downsample", train=train)
    conv, norm = block.layers.conv, _norms(block.layers.norm, train=train)
    x = conv(features, (1, 1), strides=stride, name="shortcut_conv")(x)
    return norm(name="shortcut_norm")(x)


def _check_fields(network: ResNet) -> None:
    check_factory("block", network.block)
    check_factory("stem", network.stem)
    if network.downsample is not None:
        check_factory("downsample", network.downsample)
    sizes = tuple(network.stage_sizes)
    if len(sizes) != 4 or min(sizes) < 1:
        raise RefusedError(f"`stage_sizes` must be four positive ints, got {sizes}.")
    if network.width < 1:
        raise RefusedError(f"`width` must be positive, got {network.width}.")
    if network.rematerialize not in ("nothing", "blocks"):
        raise RefusedError(
            "`rematerialize` must be 'nothing' or 'blocks', "
            f"got {network.rematerialize!r}."
        )


def _check_image(image: Array) -> None:
    if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise RefusedError(
            "`image` must be floating and of rank 4, (N, H, W, C), "
            f"got {image.dtype} of shape {image.shape}."
        )
    if 0 in image.shape[1:]:
        raise RefusedError(
            f"`image` must have at least one pixel and channel, got {image.shape}."
        )
