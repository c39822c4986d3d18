"""The sharding in an array's type: the axes it varies over, and its layout."""

from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Size
from jaxtyping import Array, DTypeLike


def varying_axes(*arrays: jax.Array) -> frozenset[str]:
    """Return the axes of a surrounding `shard_map` over which any array varies."""
    axes: set[str] = set()
    for array in arrays:
        axes |= jax.typeof(array).manual_axis_type.varying
    return frozenset(axes)


def vary_alike(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Make all vary over the axes of a surrounding `shard_map` over which one does."""
    union = varying_axes(*arrays)
    missing = [tuple(union - varying_axes(x)) for x in arrays]
    return tuple(
        cast(Array, jax.lax.pcast(x, axes, to="varying")) if axes else x
        for x, axes in zip(arrays, missing, strict=True)
    )


def zeros(
    shape: tuple[Size, ...], dtype: DTypeLike, *, varying: frozenset[str]
) -> Array:
    """Return zeros of the type that the carry of a loop has after its first turn."""
    out = jnp.zeros(shape, dtype)
    if not varying:
        return out
    return cast(Array, jax.lax.pcast(out, tuple(varying), to="varying"))


def like(x: Array, other: Array) -> Array:
    """Give the gradient `x` of `other` its type of sharding."""
    own, wanted = jax.typeof(x), jax.typeof(other)
    # In a surrounding `shard_map`: what all devices share is summed over all of them.
    varying = own.manual_axis_type.varying - wanted.manual_axis_type.varying
    if varying:
        x = cast(Array, jax.lax.psum(x, tuple(varying)))
    if wanted.sharding.mesh.empty or not wanted.sharding.mesh.explicit_axes:
        return x
    return jax.sharding.reshard(x, wanted.sharding)
