"""The choice between plain JAX and kernels, by the platform that is compiled for.

If plain JAX is selected it is traced directly, so that the program contains standard
primitives alone. Otherwise the choice is made when the program is lowered.
"""

import contextlib
import contextvars
import dataclasses
import functools
import logging
from collections.abc import Callable, Generator
from typing import Literal, Protocol, get_args, runtime_checkable

import jax
from carafe_pallas.backend import Backend, platform_of
from jaxtyping import Array

from carafe_jax.errors import RefusedError
from carafe_jax.ops.batching import over_examples
from carafe_jax.ops.by_platform import by_platform
from carafe_jax.ops.sharding import vary_alike

Implementation = Literal["xla", "mosaic_tpu", "mosaic_gpu", "triton"]

_logger = logging.getLogger(__name__)

_INTERPRETED = contextvars.ContextVar("interpreted", default=False)


@runtime_checkable
class Launchable(Protocol):
    """One launch of an operator on one device: static, and hashable.

    The first axis of all operands and of the result holds examples.
    """

    @property
    def result(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the result, from every implementation."""
        ...

    def plain(self, *operands: Array) -> Array:
        """Run plain JAX."""
        ...

    def kernel(
        self,
        backend: Backend,
        *operands: Array,
        device_kind: str | None,
        interpret: bool,
    ) -> Array:
        """Run the kernel of a backend."""
        ...

    def best_first(self, platform: str) -> tuple[Backend, ...]:
        """Return the backends of a platform, the fastest first."""
        ...

    def refusal(self, backend: Backend, *, device_kind: str | None) -> str | None:
        """Return why a backend cannot run the launch; None where it can."""
        ...


def check_implementation(implementation: object) -> None:
    """Refuse a name that is not an implementation."""
    names = get_args(Implementation)
    if implementation is not None and implementation not in names:
        raise RefusedError(
            f"`implementation` must be None or one of {', '.join(map(repr, names))}, "
            f"got {implementation!r}."
        )


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
    launch: Launchable,
    *operands: Array,
    implementation: Implementation | None,
    device_kind: str | None,
    interpret: bool,
) -> Array:
    """Run a launch on the implementation that is selected, or on the best one.

    Args:
      launch: The operator's part of it: what each implementation runs.
      *operands: Of the launch.
      implementation: "xla" is plain JAX; None is the best one for the platform that is
        compiled for.
      device_kind: What JAX calls the device that is compiled for, None if unknown.
      interpret: Whether the kernel of a selected backend is interpreted.

    Raises:
      NotImplementedError: The selected implementation cannot run the launch; on another
        platform than its own it is raised when the program is lowered.
    """
    operands = vary_alike(operands)
    sizes = [size for operand in operands for size in operand.shape]
    # No kernel takes maps of any size, in a program that is exported for them.
    known = all(isinstance(size, int) for size in sizes)
    if implementation == "xla" or 0 in sizes or (implementation is None and not known):
        return launch.plain(*operands)
    if implementation is not None:
        _check_support(launch, implementation, None if interpret else device_kind)
        if interpret:
            kernel = _kernel(launch, implementation, device_kind, interpret=True)
            return over_examples(kernel, launch.result)(*operands)
    choice = _Choice(launch, implementation, device_kind)
    return by_platform(choice, *operands, result=launch.result)


@dataclasses.dataclass(frozen=True)
class _Choice:
    """What runs a launch, once the platform is known."""

    launch: Launchable
    backend: Backend | None
    device_kind: str | None

    def __call__(self, platform: str) -> Callable[..., Array]:
        backend = self.backend
        if backend is None:
            backend = _best(self.launch, platform, self.device_kind)
        else:
            _check_platform(backend, platform)
        if backend is None:
            return self.launch.plain
        return _kernel(self.launch, backend, self.device_kind, interpret=False)


def _kernel(
    launch: Launchable,
    backend: Backend,
    device_kind: str | None,
    *,
    interpret: bool,
) -> Callable[..., Array]:
    return functools.partial(
        launch.kernel, backend, device_kind=device_kind, interpret=interpret
    )


def _best(launch: Launchable, platform: str, device_kind: str | None) -> Backend | None:
    """Return the fastest backend that can run a launch; None is plain JAX."""
    # The kind of a device of another platform restricts nothing on this one.
    is_tpu = device_kind is not None and device_kind.startswith("TPU")
    kind = device_kind if is_tpu == (platform == "tpu") else None
    for backend in launch.best_first(platform):
        reason = launch.refusal(backend, device_kind=kind)
        if reason is None:
            return backend
        _logger.debug("On %s, %r is passed over: %s.", platform, backend, reason)
    return None


def _check_support(
    launch: Launchable, backend: Backend, device_kind: str | None
) -> None:
    reason = launch.refusal(backend, device_kind=device_kind)
    if reason is not None:
        raise NotImplementedError(f"`implementation={backend!r}` cannot run: {reason}.")


def _check_platform(backend: Backend, platform: str) -> None:
    own = platform_of(backend)
    if platform != own:
        raise NotImplementedError(
            f"`implementation={backend!r}` cannot run: it is for {own!r}, and the "
            f"program is compiled for {platform!r}."
        )
