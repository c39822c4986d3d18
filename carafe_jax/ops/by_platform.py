"""A primitive whose implementation is chosen by the platform that is lowered for.

It has one lowering rule for each platform, so that only the implementation that the
program runs is traced: a program for a CPU never traces a kernel.
(`jax.lax.platform_dependent` would trace every branch, about a second for each launch.)
"""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from carafe_pallas import backend, deprecation
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from carafe_jax.ops.batching import join_examples, no_results, split_examples

Choose = Callable[[str], Callable[..., Array]]

_launch_p = Primitive("carafe_launch")


def by_platform(
    choose: Choose, *operands: Array, result: jax.ShapeDtypeStruct
) -> Array:
    """Run `choose(platform)`, where the platform is the one that is lowered for.

    Args:
      choose: Returns the function to run on a platform. Hashable, so that equal
        launches are compiled once.
      *operands: Operands of the launch; the first axis of each is the batch.
      result: Shape and dtype of the result; its first axis is the batch.
    """
    return _bind(*operands, choose=choose, result=result)


def _bind(*operands: Array, **params: Any) -> Array:
    return cast(Array, _launch_p.bind(*operands, **params))


_compiled = jax.jit(_bind, static_argnames=("choose", "result"))


def _evaluate(*operands: Array, **params: Any) -> Array:
    """Run a launch eagerly; under `jax.disable_jit` too, the launch is compiled."""
    with jax.disable_jit(False):
        return cast(Array, _compiled(*operands, **params))


def _type_of_result(aval: Any, *_: Any, result: jax.ShapeDtypeStruct, **__: Any) -> Any:
    spec = PartitionSpec(*[None] * len(result.shape))
    return aval.update(
        shape=result.shape,
        dtype=result.dtype,
        weak_type=False,
        sharding=NamedSharding(aval.sharding.mesh, spec),
    )


def _lower(
    platform: str, context: Any, *operands: Any, choose: Choose, **_: Any
) -> Any:
    # Without the axes of a surrounding `shard_map`: the function runs on one device.
    plain = [ShapedArray(x.shape, x.dtype) for x in context.avals_in]
    rule = cast(Any, mlir.lower_fun(choose(platform), multiple_results=False))
    with deprecation.silenced(platform):
        return rule(context.replace(avals_in=plain), *operands)


def _batch(operands: Any, dims: Any, *, choose: Choose, result: Any) -> Any:
    (size,) = {
        x.shape[dim] for x, dim in zip(operands, dims, strict=True) if dim is not None
    }
    if size == 0:
        return no_results(result.shape, result.dtype), 0
    # Under `jax.disable_jit`, an operand may be a NumPy array.
    joined = join_examples([jnp.asarray(x) for x in operands], dims, size)
    shape = (size * result.shape[0], *result.shape[1:])
    whole = jax.ShapeDtypeStruct(shape, result.dtype)
    return split_examples(by_platform(choose, *joined, result=whole), size), 0


_launch_p.def_impl(_evaluate)
_launch_p.def_abstract_eval(_type_of_result)
batching.primitive_batchers[_launch_p] = _batch
for _platform in ("cpu", "rocm", *backend.PLATFORMS):
    mlir.register_lowering(
        _launch_p, functools.partial(_lower, _platform), platform=_platform
    )
