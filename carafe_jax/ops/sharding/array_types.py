"""The sharding in an array's type: its spec, and the axes over which it varies."""

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
    """Return the arrays, all marked as varying over the axes over which any varies.

    The axes are those of the surrounding `shard_map`; outside of one, the arrays are
    unchanged.
    """
    union = varying_axes(*arrays)
    missing = [tuple(union - varying_axes(x)) for x in arrays]
    return tuple(
        cast(Array, jax.lax.pcast(x, axes, to="varying")) if axes else x
        for x, axes in zip(arrays, missing, strict=True)
    )


def zeros(
    shape: tuple[Size, ...], dtype: DTypeLike, *, varying: frozenset[str]
) -> Array:
    """Return zeros that vary over `varying`, as the carry of a loop has to."""
    out = jnp.zeros(shape, dtype)
    if not varying:
        return out
    return cast(Array, jax.lax.pcast(out, tuple(varying), to="varying"))


def like(x: Array, other: Array) -> Array:
    """Return `x`, the gradient of `other`, with the sharding of the type of `other`."""
    own, wanted = jax.typeof(x), jax.typeof(other)
    # The gradient of an array that devices of a `shard_map` share is summed over them.
    varying = own.manual_axis_type.varying - wanted.manual_axis_type.varying
    if varying:
        x = cast(Array, jax.lax.psum(x, tuple(varying)))
    if wanted.sharding.mesh.empty or not wanted.sharding.mesh.explicit_axes:
        return x
    return jax.sharding.reshard(x, wanted.sharding)
