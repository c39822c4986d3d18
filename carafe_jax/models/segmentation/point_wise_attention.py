"""The point-wise spatial attention module of PSANet (Zhao et al. 2018)."""

import functools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check, check_choice, check_ints
from carafe_jax.errors import no_type_check
from carafe_jax.models.conv_blocks import ConvBlock
from carafe_jax.nn._arguments import check_int, checked_features
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory
from carafe_jax.nn.resize import resize_bilinear
from carafe_jax.ops import attention_pairs, wide_dtype

Direction = Literal["collect", "distribute"]


# Our own errors for wrong fields and features are clearer.
@no_type_check
class PointWiseAttention(nn.Module):
    """Features of all positions, weighted for each pair of positions.

    For each direction, on a reduced map x (1x1 convolution, norm, ReLU), resized to
    1/`shrink` of its size, with logits of pairs that a further block predicts from x::

        collect:     out[j] = sum_i softmax_i(pairs[j, i]) * x[i]
        distribute:  out[j] = sum_i softmax_i(pairs[i, j]) * x[i]

    In "collect", position j predicts its own weights for all i; in "distribute",
    position i predicts its weights for all j. Both softmaxes are over the source
    positions i, as in the authors' code; pairs outside the window have the logit 0. The
    results are concatenated, projected (1x1 convolution, norm, ReLU), resized back, and
    concatenated with the input. Memory grows with the square of the number of
    positions.

    Attributes:
      window: Rows and columns of the attention, `(wh, ww)`: odd for the attention
        "over_complete", where twice the (shrunk) map's size minus 1 covers all pairs;
        for "compact", the (shrunk) map's size itself.
      features: Channels of the reduced maps (default: 512).
      directions: Directions, in the order of their results (default: both).
      attention: "over_complete": logits by relative position (`attention_pairs`).
        "compact": by absolute position (default: "over_complete").
      shrink: Factor by which the reduced maps are smaller than the input (default: 2).
      normalizer: "softmax", or "window": the logits divided by the window's number of
        positions (default: "softmax").
      norm: Factory of the norms (default: `BatchNorm`).
      dtype: Dtype of the computation (default: that of the map).
      param_dtype: Dtype of the parameters (default: float32).
    """

    window: tuple[int, int]
    features: int = 512
    directions: Sequence[Direction] = ("collect", "distribute")
    attention: Literal["over_complete", "compact"] = "over_complete"
    shrink: int = 2
    normalizer: Literal["softmax", "window"] = "softmax"
    norm: LayerFactory = BatchNorm
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n h w p"]:
        """Return the map and its attention, concatenated along the channels.

        Args:
          features: Feature map, floating.
          train: Whether norms use the statistics of this batch.

        Returns:
          The map with 2 c channels, the map itself first.

        Raises:
          RefusedError: The map or a field is invalid, or a "compact" attention has
            another window than the map.
        """
        self._check_fields()
        features = checked_features(features).astype(dtypes_of(self, features)["dtype"])
        attended = [
            self._attend(features, direction, train=train)
            for direction in self.directions
        ]
        dtypes = dtypes_of(self, features)
        project = ConvBlock(
            features.shape[-1], kernel_size=1, norm=self.norm, name="project", **dtypes
        )
        projected = project(jnp.concatenate(attended, axis=-1), train)
        resized = resize_bilinear(
            projected, size=features.shape[1:3], align_corners=True
        )
        return jnp.concatenate([features, resized], axis=-1)

    def _attend(
        self, features: Float[Array, "n h w c"], direction: Direction, *, train: bool
    ) -> Float[Array, "n sh sw f"]:
        dtypes = dtypes_of(self, features)
        block = functools.partial(
            ConvBlock, self.features, kernel_size=1, norm=self.norm, **dtypes
        )
        x = block(name=f"{direction}_reduce")(features, train)
        size = [(length - 1) // self.shrink + 1 for length in x.shape[1:3]]
        x = resize_bilinear(x, size=size, align_corners=True)
        n, height, width, _ = x.shape
        logits = Conv(
            self.window[0] * self.window[1],
            (1, 1),
            use_bias=False,
            kernel_init=nn.initializers.he_normal(),
            name=f"{direction}_attention",
            **dtypes,
        )(block(name=f"{direction}_block")(x, train))
        # From the position that predicts, to the other one.
        pairs = self._pairs(logits).astype(wide_dtype(x.dtype))
        given = "nji" if direction == "collect" else "nij"
        if self.normalizer == "softmax":
            weights = jax.nn.softmax(pairs, axis=given.index("i"))
        else:
            weights = pairs / (self.window[0] * self.window[1])
        out = jnp.einsum(
            f"{given},nic->njc",
            weights.astype(x.dtype),
            x.reshape(n, height * width, -1),
            preferred_element_type=wide_dtype(x.dtype),
        )
        return out.astype(x.dtype).reshape(x.shape)

    def _pairs(self, logits: Float[Array, "n h w t"]) -> Float[Array, "n p p"]:
        if self.attention == "over_complete":
            return attention_pairs(logits, window=self.window)
        n, height, width, channels = logits.shape
        rule = f"be the size of the attended map, {(height, width)}, if it is compact"
        check("window", self.window, rule, holds=self.window == (height, width))
        return logits.reshape(n, height * width, channels)

    def _check_fields(self) -> None:
        check_int("features", self.features)
        check_int("shrink", self.shrink)
        check_ints("window", self.window, length=2)
        check_choice("attention", self.attention, ("over_complete", "compact"))
        check_choice("normalizer", self.normalizer, ("softmax", "window"))
        directions = tuple(self.directions)
        rule = "be one or both of 'collect' and 'distribute'"
        holds = 0 < len(directions) == len({*directions} & {"collect", "distribute"})
        check("directions", directions, rule, holds=holds)
