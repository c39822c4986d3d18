"""Dispatch of a launch to plain JAX, or to the kernel of a backend.

If plain JAX is selected it is traced directly, so that the program contains standard
primitives alone. Otherwise the choice is made when the program is lowered, by the
platform that it is compiled for.
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
    """The static description of a launch of an operator on one device; hashable.

    The first axis of every operand, and of the result, is the batch.
    """

    @property
    def result(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the result, the same for every implementation."""
        ...

    def plain(self, *operands: Array) -> Array:
        """Run the launch in plain JAX."""
        ...

    def kernel(
        self,
        backend: Backend,
        *operands: Array,
        device_kind: str | None,
        interpret: bool,
    ) -> Array:
        """Run the launch by the kernel of a backend."""
        ...

    def best_first(self, platform: str) -> tuple[Backend, ...]:
        """Return the backends of a platform, the fastest first."""
        ...

    def refusal(self, backend: Backend, *, device_kind: str | None) -> str | None:
        """Return why a backend cannot run the launch; None if it can."""
        ...


def check_implementation(implementation: object) -> None:
    """Raise unless `implementation` is None or the name of an implementation."""
    names = get_args(Implementation)
    if implementation is not None and implementation not in names:
        raise RefusedError(
            f"`implementation` must be None or one of {', '.join(map(repr, names))}, "
            f"got {implementation!r}."
        )


@contextlib.contextmanager
def interpret_kernels() -> Generator[None, None, None]:
    """Interpret the kernels of explicitly selected backends, on any platform.

    For tests and debugging: interpreters are slow. The context applies while a function
    is traced.
    """
    token = _INTERPRETED.set(True)
    try:
        yield
    finally:
        _INTERPRETED.reset(token)


def kernels_are_interpreted() -> bool:
    """Return whether `interpret_kernels` is in force."""
    return _INTERPRETED.get()


def run(
    launch: Launchable,
    *operands: Array,
    implementation: Implementation | None,
    device_kind: str | None,
    interpret: bool,
) -> Array:
    """Run a launch by the selected implementation, or by the fastest that can run it.

    Args:
      launch: Describes the launch, and runs it by each implementation.
      *operands: Operands of the launch.
      implementation: "xla" is plain JAX. None selects the fastest implementation for
        the platform that the program is compiled for.
      device_kind: JAX's name of the device that is compiled for; None if unknown.
      interpret: Whether the kernel of an explicitly selected backend is interpreted.

    Raises:
      NotImplementedError: The selected implementation cannot run the launch. If the
        program is compiled for another platform, this is raised at lowering.
    """
    operands = vary_alike(operands)
    sizes = [size for operand in operands for size in operand.shape]
    # Kernels need static sizes: programs exported with symbolic ones run plain JAX.
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
    """Chooses the function that runs a launch, given the platform."""

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
    """Return the fastest backend that can run a launch; None means plain JAX."""
    # The device kind may be that of another platform, and is then of no use here.
    is_tpu = device_kind is not None and device_kind.startswith("TPU")
    kind = device_kind if is_tpu == (platform == "tpu") else None
    for backend in launch.best_first(platform):
        reason = launch.refusal(backend, device_kind=kind)
        if reason is None:
            return backend
        _logger.debug("Skipping %r on %s: %s.", backend, platform, reason)
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
