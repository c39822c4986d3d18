"""The static description of a reassembly, the same for every backend.

Launches take kernels by anchor, (n, ah, aw, phases * groups * taps), the layout of the
content encoder; with a normalizer they are its logits. A backend with
`KERNELS_BY_PIXEL` takes normalised kernels by output pixel, (n, oh, ow, groups, taps),
the layout of `carafe_jax.reassemble`. The gradient of the kernels has their layout.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas.geometry import Geometry, Size

Normalizer = Literal["softmax", "sigmoid", "normalized_sigmoid"]
Launch = Literal["reassemble", "grad_features", "grad_kernels"]


@dataclasses.dataclass(frozen=True)
class Call:
    """Sizes, dtypes and options of one reassembly, for checks and for tuning.

    The launches apply `normalizer` over the taps; None if the kernels are normalised
    already.
    """

    geometry: Geometry
    batch: Size
    channels: int
    features_dtype: jnp.dtype
    kernels_dtype: jnp.dtype
    normalizer: Normalizer | None = None

    @classmethod
    def of(
        cls,
        pixels: Float[Array, "n y x c"],
        kernels_dtype: DTypeLike,
        *,
        geometry: Geometry,
        normalizer: Normalizer | None,
    ) -> "Call":
        """Describe a launch by the operand `pixels`, the features or the cotangent."""
        n, _, _, channels = pixels.shape
        return cls(
            geometry=geometry,
            batch=n,
            channels=channels,
            features_dtype=pixels.dtype,
            kernels_dtype=jnp.dtype(kernels_dtype),
            normalizer=normalizer,
        )

    @property
    def features_shape(self) -> tuple[Size, Size, Size, int]:
        rows, columns = self.geometry.rows, self.geometry.columns
        return self.batch, rows.size, columns.size, self.channels

    @property
    def output_shape(self) -> tuple[Size, Size, Size, int]:
        rows, columns = self.geometry.rows, self.geometry.columns
        return self.batch, rows.output_size, columns.output_size, self.channels

    @property
    def anchor_kernels_shape(self) -> tuple[Size, Size, Size, int]:
        """Shape of the kernels by anchor, or of their logits."""
        rows, columns = self.geometry.rows, self.geometry.columns
        channels = self.geometry.anchor_channels
        return self.batch, rows.anchors, columns.anchors, channels

    @property
    def pixel_kernels_shape(self) -> tuple[Size, Size, Size, int, int]:
        """Shape of the normalised kernels by output pixel."""
        groups, taps = self.geometry.groups, self.geometry.taps
        return *self.output_shape[:3], groups, taps

    @property
    def is_of_known_size(self) -> bool:
        """Whether all sizes are ints, and none is symbolic."""
        rows, columns = self.geometry.rows, self.geometry.columns
        return all(isinstance(x, int) for x in (self.batch, rows.size, columns.size))
