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
        *,
        kernels_dtype: DTypeLike,
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
    def is_of_known_size(self) -> bool:
        """Whether no size is a symbol."""
        rows, columns = self.geometry.rows, self.geometry.columns
        return all(isinstance(x, int) for x in (self.batch, rows.size, columns.size))
