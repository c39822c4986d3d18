"""The choice between plain JAX and kernels, by the platform that is compiled for.

Where there is a choice, a launch is a primitive with one lowering rule a platform, so
that only what a program will run is traced: a program for a CPU never traces a kernel.
(`platform_dependent` of `jax.lax` would trace every branch, at about a second a
launch.) Where there is none, plain JAX is traced directly, and the program holds
standard primitives alone.
"""

import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from carafe_pallas import deprecation, support
from carafe_pallas.call import Call
from carafe_pallas.geometry import Size
from jax.core import ShapedArray
from jax.custom_batching import custom_vmap
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, DTypeLike

from carafe_jax.ops._blocks import varying_axes

_logger = logging.getLogger(__name__)

_INTERPRETED = contextvars.ContextVar("interpreted", default=False)


@contextlib.contextmanager
def interpret_kernels() -> Generator[None, None, None]:
    """Run kernels that are selected explicitly interpreted, on any platform.

    For tests and for looking for faults: it is slow. It acts while a function is
    traced.
    """
    token = _INTERPRETED.set(True)
    try:
        yield
    finally:
        _INTERPRETED.reset(token)


def kernels_are_interpreted() -> bool:
    """Return whether this is inside `interpret_kernels`."""
    return _INTERPRETED.get()


def run(
    xla: Callable[..., Array],
    kernel: Callable[..., Array],
    operands: tuple[Array, ...],
    *,
    call: Call,
    result: jax.ShapeDtypeStruct,
    implementation: str | None,
    device_kind: str | None,
    interpret: bool,
) -> Array:
    """Run `xla(*operands)`, or `kernel(backend, *operands)` where a backend is chosen.

    Both return an array like `result`. Examples are the first axis of all of them.

    Raises:
      NotImplementedError: The selected implementation cannot run the call; on another
        platform than its own it is raised when the program is lowered.
    """
    operands = _varying_alike(operands)
    if implementation == "xla" or 0 in (call.batch, call.channels):
        return xla(*operands)
    if implementation is None and not call.is_of_known_size:
        return xla(*operands)
    if implementation is None:
        best = functools.partial(_best, call=call, device_kind=device_kind)
        return _bind(xla, kernel, operands, result, best)
    backend: Any = implementation
    kind = None if interpret else device_kind
    reason = support.refusal(backend, call, device_kind=kind)
    if reason is not None:
        raise NotImplementedError(
            f"`implementation={implementation!r}` cannot run: {reason}."
        )
    if interpret:
        return _over_examples(functools.partial(kernel, backend), result)(*operands)
    return _bind(xla, kernel, operands, result, functools.partial(_only, backend))


def _best(
    platform: str, *, call: Call, device_kind: str | None
) -> support.Backend | None:
    # A device of another platform says nothing about this one's.
    is_tpu = device_kind is not None and device_kind.startswith("TPU")
    kind = device_kind if is_tpu == (platform == "tpu") else None
    for backend in support.best_first(platform, call):
        reason = support.refusal(backend, call, device_kind=kind)
        if reason is None:
            return backend
        _logger.debug("On %s, %r is passed over: %s.", platform, backend, reason)
    return None


def _only(backend: support.Backend, platform: str) -> support.Backend:
    own = support.platform_of(backend)
    if platform != own:
        raise NotImplementedError(
            f"`implementation={backend!r}` cannot run: it is for {own!r}, and the "
            f"program is compiled for {platform!r}."
        )
    return backend


def _over_examples(
    launch: Callable[..., Array], result: jax.ShapeDtypeStruct
) -> Callable[..., Array]:
    """Let `vmap` add to the examples of a launch."""
    launch = custom_vmap(launch)

    @launch.def_vmap
    def batched(size: int, is_batched: list[bool], *operands: Array) -> Any:
        dims = [0 if has_axis else None for has_axis in is_batched]
        if size == 0:
            examples = operands[0].shape[1 if is_batched[0] else 0]
            return _no_results((examples, *result.shape[1:]), result.dtype), True
        out = launch(*_join_examples(operands, dims, size))
        return _split_examples(out, size), True

    return launch


def _join_examples(
    operands: Sequence[Array], dims: Sequence[int | None], size: int
) -> list[Array]:
    """Make the axis that `vmap` added part of the first."""
    spread = [
        jnp.broadcast_to(x, (size, *x.shape))
        if dim is None
        else jnp.moveaxis(x, dim, 0)
        for x, dim in zip(operands, dims, strict=True)
    ]
    return [x.reshape(size * x.shape[1], *x.shape[2:]) for x in spread]


def _split_examples(x: Array, size: int) -> Array:
    return x.reshape(size, x.shape[0] // size, *x.shape[1:])


def _no_results(shape: tuple[Size, ...], dtype: DTypeLike) -> Array:
    """Return the empty result of `vmap` over an axis of size 0; nothing is launched."""
    return jnp.zeros((0, *shape), dtype)


def _varying_alike(operands: Sequence[Array]) -> tuple[Array, ...]:
    """Make all vary over the axes of a surrounding `shard_map` over which one does."""
    union = varying_axes(*operands)
    missing = [tuple(union - varying_axes(x)) for x in operands]
    return tuple(
        cast(Array, jax.lax.pcast(x, axes, to="varying")) if axes else x
        for x, axes in zip(operands, missing, strict=True)
    )


_launch_p = Primitive("carafe_launch")


def _bind(
    xla: Callable[..., Array],
    kernel: Callable[..., Array],
    operands: Sequence[Array],
    result: jax.ShapeDtypeStruct,
    choose: Callable[[str], support.Backend | None],
) -> Array:
    """Launch the backend that `choose(platform)` returns; None is plain JAX."""
    return cast(
        Array,
        _launch_p.bind(*operands, xla=xla, kernel=kernel, result=result, choose=choose),
    )


def _evaluate(*operands: Array, **params: Any) -> Array:
    """Run a launch under `jax.disable_jit`: it is compiled, and nothing around it."""
    with jax.disable_jit(False):
        launch = jax.jit(functools.partial(_launch_p.bind, **params))
        return cast(Array, launch(*operands))


def _type_of_result(aval: Any, *_: Any, result: jax.ShapeDtypeStruct, **__: Any) -> Any:
    spec = PartitionSpec(*[None] * len(result.shape))
    return aval.update(
        shape=result.shape,
        dtype=result.dtype,
        weak_type=False,
        sharding=NamedSharding(aval.sharding.mesh, spec),
    )


def _lower(
    platform: str,
    context: Any,
    *operands: Any,
    xla: Callable[..., Array],
    kernel: Callable[..., Array],
    choose: Callable[[str], support.Backend | None],
    **_: Any,
) -> Any:
    backend = choose(platform)
    function = xla if backend is None else functools.partial(kernel, backend)
    # The types of a surrounding `shard_map` do not concern what runs on one device.
    plain = [ShapedArray(x.shape, x.dtype) for x in context.avals_in]
    rule = cast(Any, mlir.lower_fun(function, multiple_results=False))
    with deprecation.silenced(platform):
        return rule(context.replace(avals_in=plain), *operands)


def _batch(operands: Any, dims: Any, *, result: Any, **params: Any) -> Any:
    (size,) = {
        x.shape[dim] for x, dim in zip(operands, dims, strict=True) if dim is not None
    }
    if size == 0:
        return _no_results(result.shape, result.dtype), 0
    # Without compilation, an operand may be a NumPy array.
    joined = _join_examples([jnp.asarray(x) for x in operands], dims, size)
    whole = jax.ShapeDtypeStruct(
        (size * result.shape[0], *result.shape[1:]), result.dtype
    )
    out = cast(Array, _launch_p.bind(*joined, result=whole, **params))
    return _split_examples(out, size), 0


_launch_p.def_impl(_evaluate)
_launch_p.def_abstract_eval(_type_of_result)
batching.primitive_batchers[_launch_p] = _batch
for _platform in ("cpu", "rocm", *support.PLATFORMS):
    mlir.register_lowering(
        _launch_p, functools.partial(_lower, _platform), platform=_platform
    )
