"""The static part of a reassembly, whatever runs it.

Kernels come to the launches by anchor, (n, ah, aw, phases * groups * taps), as the
content encoder predicts them; with a normalizer they are its logits. A backend whose
`KERNELS_BY_PIXEL` is true takes those that are normalised already by output pixel,
(n, oh, ow, groups, taps), as `carafe_jax.reassemble` does, and so returns their
gradient.
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

    `normalizer` is what the launches apply over the taps of the kernels; None: the
    kernels are normalised already.
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
        """Describe the call of a launch by the features or the cotangent it reads."""
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
        """Whether no size is a symbol."""
        rows, columns = self.geometry.rows, self.geometry.columns
        return all(isinstance(x, int) for x in (self.batch, rows.size, columns.size))
