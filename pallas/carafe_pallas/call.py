"""The static part of a reassembly, whatever runs it.

Weights come to the launches by anchor, (n, ah, aw, phases * groups * taps), as the
content encoder predicts them. A backend whose `KERNELS_BY_PIXEL` is true takes those
that are normalised already by output pixel, (n, oh, ow, groups, taps), as
`carafe_jax.reassemble` does, and so returns their gradient.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from carafe_pallas.geometry import Geometry, Size

Normalizer = Literal["softmax", "sigmoid", "normalized_sigmoid"]
Launch = Literal["reassemble", "grad_features", "grad_kernels"]


@dataclasses.dataclass(frozen=True)
class Call:
    """Sizes, dtypes and options of one reassembly, for checks and for tuning.

    `normalizer` is what the launches apply over the taps of the weights; None: the
    weights are normalised already.
    """

    geometry: Geometry
    batch: Size
    channels: int
    features_dtype: jnp.dtype
    kernels_dtype: jnp.dtype
    normalizer: Normalizer | None = None

    @property
    def is_of_known_size(self) -> bool:
        """Whether no size is a symbol."""
        rows, columns = self.geometry.rows, self.geometry.columns
        return all(isinstance(x, int) for x in (self.batch, rows.size, columns.size))
