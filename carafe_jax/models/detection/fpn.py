"""Feature pyramid networks (Lin et al., arXiv:1612.03144), with any up-sampler."""

import itertools
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check_choice
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.resampling import upsample_to
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes, dtypes_of
from carafe_jax.nn.factories import LayerFactory, make_norm
from carafe_jax.nn.resize import resize_nearest

# The finest of the maps has 1/4 of the image's size.
_FIRST_LEVEL = 2


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class FPN(nn.Module):
    """Feature pyramid on the maps of a backbone.

    From the coarsest level to the finest::

        top_down[l] = lateral[l](stages[l]) + upsample(top_down[l + 1])
        output[l] = output_conv[l](top_down[l])

    with 1x1 laterals and 3x3 output convolutions. With `upsample=None` and an extra
    level by "pool" it is the FPN of mmdetection; with `upsample=CARAFEUpsample` and an
    extra level by "lateral" it is FPN_CARAFE, in which CARAFE++ takes each top-down
    step (arXiv:2012.04733, section 5.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import FPN, Stages
      >>> from carafe_jax.nn import CARAFEUpsample
      >>> sizes, channels = (32, 16, 8, 4), (4, 8, 16, 32)
      >>> maps = [jnp.ones((1, s, s, c)) for s, c in zip(sizes, channels)]
      >>> neck = FPN(features=8, upsample=CARAFEUpsample, extra_level="lateral")
      >>> variables = jax.eval_shape(neck.init, jax.random.key(0), Stages(*maps))
      >>> pyramid = jax.eval_shape(neck.apply, variables, Stages(*maps))
      >>> [level.shape[1] for level in pyramid]
      [32, 16, 8, 4, 2]

    Attributes:
      features: Channels of all levels (default: 256).
      upsample: Factory of the layers that double a level, whose result is cropped to
        the next lateral's size: `CARAFEUpsample`, any other up-sampler of
        `carafe_jax.nn`, a `functools.partial` of one, or another factory
        (`carafe_jax.nn.factories`). None: nearest neighbour, to the lateral's size
        (default: None).
      extra_level: Origin of the level above the coarsest map. "pool": every second row
        and column of the coarsest output. "lateral": a 3x3 lateral of stride 2 on the
        coarsest map, which also takes part in the top-down path (default: "pool").
      norm: Factory of a norm after each convolution, followed by a ReLU
        (`carafe_jax.nn.factories`). None: neither; convolutions have biases
        (default: None).
      dtype: Dtype of the computation and of the levels (default: that of the maps).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int = 256
    upsample: LayerFactory | None = None
    extra_level: Literal["pool", "lateral"] = "pool"
    norm: LayerFactory | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, stages: Sequence[Float[Array, "n _ _ _"]], train: bool = False
    ) -> tuple[Float[Array, "n _ _ f"], ...]:
        """Return the pyramid, from the finest level to the coarsest.

        Args:
          stages: Maps of a backbone from the finest to the coarsest, as `Stages`; each
            has half the size of the one before, ceil(H / 2) x ceil(W / 2).
          train: Whether norms use the statistics of this batch; passed to `upsample`.

        Returns:
          One level for each map, and the extra level: P2 to P6 for `Stages`.

        Raises:
          RefusedError: The maps do not fit together, or a field is invalid.
        """
        check_int("features", self.features)
        check_choice("extra_level", self.extra_level, ("pool", "lateral"))
        _check_stages(stages)
        dtypes = dtypes_of(self, stages[0])
        levels = self._laterals(stages, dtypes, train=train)
        for index in reversed(range(len(levels) - 1)):
            levels[index] += self._top_down(levels, index, dtypes, train=train)
        outputs = [
            self._conv(x, f"output_{level}", dtypes, kernel_size=3, train=train)
            for level, x in enumerate(levels, _FIRST_LEVEL)
        ]
        if self.extra_level == "pool":
            outputs.append(outputs[-1][:, ::2, ::2])
        return tuple(outputs)

    def _laterals(
        self, stages: Sequence[Array], dtypes: Dtypes, *, train: bool
    ) -> list[Array]:
        stages = [stage.astype(dtypes["dtype"]) for stage in stages]
        laterals = [
            self._conv(x, f"lateral_{level}", dtypes, train=train)
            for level, x in enumerate(stages, _FIRST_LEVEL)
        ]
        if self.extra_level == "lateral":
            name = f"lateral_{_FIRST_LEVEL + len(stages)}"
            extra = self._conv(
                stages[-1], name, dtypes, kernel_size=3, strides=2, train=train
            )
            laterals.append(extra)
        return laterals

    def _top_down(
        self, levels: Sequence[Array], index: int, dtypes: Dtypes, *, train: bool
    ) -> Array:
        """Return the level above `index` at the size of that level."""
        return upsample_to(
            "upsample",
            self.upsample,
            levels[index + 1],
            train,
            size=levels[index].shape[1:3],
            resize=resize_nearest,
            name=f"upsample_{_FIRST_LEVEL + index}",
            **dtypes,
        )

    def _conv(
        self,
        x: Array,
        name: str,
        dtypes: Dtypes,
        *,
        train: bool,
        kernel_size: int = 1,
        strides: int = 1,
    ) -> Array:
        conv = Conv(
            self.features,
            (kernel_size, kernel_size),
            strides=strides,
            padding=kernel_size // 2,
            use_bias=self.norm is None,
            kernel_init=nn.initializers.xavier_uniform(),
            name=name,
            **dtypes,
        )
        if self.norm is None:
            return conv(x)
        norm = make_norm(self.norm, train=train, name=f"{name}_norm", **dtypes)
        return nn.relu(norm(conv(x)))


@no_type_check
def _check_stages(stages: Sequence[Array]) -> None:
    if not isinstance(stages, tuple | list) or not stages:
        raise RefusedError(
            "`stages` must be a sequence of maps, such as `Stages`, got a "
            f"{type(stages).__name__}."
        )
    for index, stage in enumerate(stages):
        if stage.ndim != 4 or not jnp.issubdtype(stage.dtype, jnp.floating):
            raise RefusedError(
                f"`stages[{index}]` must be floating and of rank 4, (N, H, W, C), got "
                f"{stage.dtype} of shape {stage.shape}."
            )
    for index, (fine, coarse) in enumerate(itertools.pairwise(stages), 1):
        if not all(isinstance(size, int) for size in (*fine.shape, *coarse.shape)):
            continue  # Symbolic sizes that are equal may compare as unequal.
        n, height, width = fine.shape[:3]
        expected = (n, -(-height // 2), -(-width // 2))
        if coarse.shape[:3] != expected:
            raise RefusedError(
                f"`stages[{index}]` must have half the size of the map before, "
                f"{expected} for (N, H, W), got {coarse.shape[:3]}."
            )
