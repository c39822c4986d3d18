"""Dtypes that layers pass to their sublayers."""

from typing import Protocol, TypedDict

import jax.numpy as jnp
from jaxtyping import Array, DTypeLike

from carafe_jax.errors import RefusedError, no_type_check


class Dtypes(TypedDict):
    """Keyword arguments of a layer: `nn.Conv(8, (3, 3), **Dtypes(...))`."""

    dtype: DTypeLike
    """Dtype of the computation."""
    param_dtype: DTypeLike
    """Dtype of the parameters."""


class HasDtypes(Protocol):
    """A layer with the fields of `Dtypes`; a `dtype` of None is that of its input."""

    dtype: DTypeLike | None
    param_dtype: DTypeLike


@no_type_check
def dtypes_of(layer: HasDtypes, features: Array) -> Dtypes:
    """Return the dtypes of a layer's computation on a map, and of its parameters.

    Raises:
      RefusedError: A field is not a floating dtype.
    """
    return Dtypes(
        dtype=checked_dtype("dtype", layer.dtype, default=features.dtype),
        param_dtype=checked_dtype("param_dtype", layer.param_dtype),
    )


@no_type_check
def checked_dtype(
    name: str, dtype: DTypeLike | None, *, default: DTypeLike | None = None
) -> DTypeLike:
    """Return the dtype, or the default if it is None, after a check.

    Args:
      name: Name of the argument, for errors.
      dtype: Value of the argument.
      default: Dtype to return if the value is None.

    Raises:
      RefusedError: The dtype is not floating, or the value is not a dtype.
    """
    dtype = default if dtype is None else dtype
    if dtype is None or not _is_floating(dtype):
        raise RefusedError(
            f"`{name}` must be a floating dtype, such as jnp.bfloat16 or "
            f'"bfloat16", got {dtype!r}.'
        )
    return dtype


def _is_floating(dtype: DTypeLike) -> bool:
    try:
        return bool(jnp.issubdtype(jnp.dtype(dtype), jnp.floating))
    except TypeError:
        return False
