"""Batching of launches: the axis that `vmap` adds is merged into the batch.

The first axis of every operand, and of the result, of a launch is the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Size
from jax.custom_batching import custom_vmap
from jaxtyping import Array, DTypeLike


def join_examples(
    operands: Sequence[Array], dims: Sequence[int | None], size: int
) -> list[Array]:
    """Merge the axis of `size` that `vmap` added into the batch."""
    spread = [
        jnp.broadcast_to(x, (size, *x.shape))
        if dim is None
        else jnp.moveaxis(x, dim, 0)
        for x, dim in zip(operands, dims, strict=True)
    ]
    return [x.reshape(size * x.shape[1], *x.shape[2:]) for x in spread]


def split_examples(x: Array, size: int) -> Array:
    """Split the axis of `size` that `vmap` added off the batch, as the first axis."""
    return x.reshape(size, x.shape[0] // size, *x.shape[1:])


def no_results(shape: tuple[Size, ...], dtype: DTypeLike) -> Array:
    """Return the empty result of `vmap` over an axis of size 0, without a launch."""
    return jnp.zeros((0, *shape), dtype)


def over_examples(
    launch: Callable[..., Array], result: jax.ShapeDtypeStruct
) -> Callable[..., Array]:
    """Give a launch a batching rule that merges the axis of `vmap` into the batch."""
    launch = custom_vmap(launch)

    @launch.def_vmap
    def batched(size: int, is_batched: list[bool], *operands: Array) -> Any:
        dims = [0 if has_axis else None for has_axis in is_batched]
        if size == 0:
            examples = operands[0].shape[1 if is_batched[0] else 0]
            return no_results((examples, *result.shape[1:]), result.dtype), True
        out = launch(*join_examples(operands, dims, size))
        return split_examples(out, size), True

    return launch
