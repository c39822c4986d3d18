"""Base class of the resamplers, and checks of their arguments."""

from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import checked_features, checked_scale
from carafe_jax.nn.dtypes import HasDtypes, dtypes_of
from carafe_jax.ops import Scale


@no_type_check
class ResamplingLayer(nn.Module):
    """A layer that scales a feature map.

    Attributes:
      scale: Output pixels per source pixel along each side: an int, a
        `fractions.Fraction` or a string such as "3/2".
    """

    scale: Scale = 2

    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Resample a feature map.

        Args:
          features: Feature map, floating.
          train: Unused; resamplers have one call signature. Pass it by position or by
            keyword; a lifted transform keeps it static by its position:
            `nn.remat(CARAFEDownsample, static_argnums=(2,))(norm=BatchNorm)(x, True)`.

        Returns:
          The map of `ceil(scale * h)` rows and `ceil(scale * w)` columns, in `dtype`
          if that is given, else in the dtype of `features`.

        Raises:
          RefusedError: The map or a field is invalid.
        """
        raise NotImplementedError


@no_type_check
def cast(
    layer: HasDtypes, features: Float[Array, "n h w c"]
) -> Float[Array, "n h w c"]:
    features = checked_features(features)
    return features.astype(dtypes_of(layer, features)["dtype"])


@no_type_check
def stride_of(scale: Scale) -> int:
    fraction = checked_scale(scale, "down", whole=True)
    if fraction.numerator != 1:
        raise RefusedError(
            f"`scale` must be 1/n with a whole n for this layer, got {fraction}."
        )
    return fraction.denominator


@no_type_check
def upsampled_size(features: Float[Array, "n h w c"], scale: Scale) -> tuple[int, int]:
    fraction = checked_scale(scale, "up")
    up, down = fraction.numerator, fraction.denominator
    # Sizes may be symbolic, in a program that is exported for maps of any size.
    height, width = ((size * up - 1) // down + 1 for size in features.shape[1:3])
    return height, width


@no_type_check
def whole_scale(scale: Scale) -> int:
    fraction = checked_scale(scale, "up", whole=True)
    if fraction.denominator != 1:
        raise RefusedError(
            f"`scale` must be a whole number for this layer, got {fraction}."
        )
    return fraction.numerator


def output_channels(features: Float[Array, "n h w c"], channels: int | None) -> int:
    if channels is None:
        return features.shape[-1]
    if channels < 1:
        raise RefusedError(f"`features` must be None or at least 1, got {channels}.")
    return channels
