"""The choice between plain JAX and kernels, by the platform that is compiled for."""

import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jax
from carafe_pallas import support
from carafe_pallas.call import Call
from jax.custom_batching import custom_vmap
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array

_logger = logging.getLogger(__name__)

_INTERPRETED = contextvars.ContextVar("interpreted", default=False)


@contextlib.contextmanager
def interpret_kernels() -> Iterator[None]:
    """Let kernels that are asked for by name run interpreted, on any platform.

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
    implementation: str | None,
    device_kind: str | None,
    interpret: bool,
) -> Array:
    """Run `xla(*operands)`, or `kernel(backend, *operands)` where a backend is chosen.

    Raises:
      NotImplementedError: The implementation asked for cannot run the call; on another
        platform than its own it is raised when the program is lowered.
    """
    if implementation == "xla" or call.batch == 0 or call.channels == 0:
        return xla(*operands)

    def launch(backend: support.Backend) -> Callable[..., Array]:
        return _over_examples(functools.partial(kernel, backend))

    if implementation is None:
        chosen = {
            platform: backend
            for platform in support.PLATFORMS
            if (backend := _best(platform, call, device_kind)) is not None
        }
        branches = {name: launch(backend) for name, backend in chosen.items()}
        return _by_platform(operands, branches, xla)
    backend: Any = implementation
    reason = support.refusal(
        backend, call, device_kind=None if interpret else device_kind
    )
    if reason is not None:
        raise NotImplementedError(
            f"`implementation={implementation!r}` cannot run: {reason}."
        )
    if interpret:
        return launch(backend)(*operands)
    platform = support.platform_of(backend)

    def elsewhere(first: Array, *rest: Array) -> Array:
        return xla(_refuse(first, implementation, platform), *rest)

    return _by_platform(operands, {platform: launch(backend)}, elsewhere)


def _best(platform: str, call: Call, device_kind: str | None) -> support.Backend | None:
    """Return the first backend of a platform that can run the call."""
    for backend in support.PLATFORMS[platform]:
        # A device of another platform says nothing about this one's.
        kind = device_kind if _is_of(platform, device_kind) else None
        reason = support.refusal(backend, call, device_kind=kind)
        if reason is None:
            return backend
        _logger.debug("On %s, %r is passed over: %s.", platform, backend, reason)
    return None


def _is_of(platform: str, device_kind: str | None) -> bool:
    is_tpu = device_kind is not None and device_kind.startswith("TPU")
    return is_tpu if platform == "tpu" else not is_tpu


def _by_platform(
    operands: tuple[Array, ...],
    branches: dict[str, Callable[..., Array]],
    default: Callable[..., Array],
) -> Array:
    if not branches:
        return default(*operands)
    return jax.lax.platform_dependent(*operands, default=default, **branches)


def _over_examples(launch: Callable[..., Array]) -> Callable[..., Array]:
    """Let `vmap` add to the examples of a launch, which all are its first axis."""
    launch = custom_vmap(launch)

    @launch.def_vmap
    def batched(size: int, is_batched: list[bool], *operands: Array) -> Any:
        spread = [
            x if has_axis else jax.numpy.broadcast_to(x, (size, *x.shape))
            for x, has_axis in zip(operands, is_batched, strict=True)
        ]
        joined = [x.reshape(size * x.shape[1], *x.shape[2:]) for x in spread]
        out = launch(*joined)
        return out.reshape(size, out.shape[0] // size, *out.shape[1:]), True

    return launch


# The identity, which no platform can lower.
_refuse_p = Primitive("carafe_refuse")


def _refuse(x: Array, implementation: str, platform: str) -> Array:
    return _refuse_p.bind(x, implementation=implementation, platform=platform)


def _cannot_lower(context: Any, *_: Any, implementation: str, platform: str) -> Any:
    asked = context.module_context.platforms
    raise NotImplementedError(
        f"`implementation={implementation!r}` cannot run: it is for {platform!r}, and "
        f"the program is compiled for {', '.join(map(repr, asked))}."
    )


_refuse_p.def_abstract_eval(lambda x, **_: x)
mlir.register_lowering(_refuse_p, _cannot_lower)
batching.primitive_batchers[_refuse_p] = lambda operands, dims, **params: (
    _refuse_p.bind(*operands, **params),
    dims[0],
)
