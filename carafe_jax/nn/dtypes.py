"""The dtypes that layers hand on to the layers inside them."""

from typing import TypedDict

from jaxtyping import DTypeLike


class Dtypes(TypedDict):
    """Keywords of a layer: `nn.Conv(8, (3, 3), **Dtypes(...))`."""

    dtype: DTypeLike
    """Of the computation."""
    param_dtype: DTypeLike
    """Of the parameters."""
