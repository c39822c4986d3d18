"""Timing by the clock of the device where it can be read, else by the host's.

On an NVIDIA GPU, CUPTI times the kernels of a call. The host's time includes the
overhead of a call, about as long as a small kernel, which is absent within a larger
program.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
from jaxtyping import Array

Clock = Literal["device", "host"]
Timer = Callable[[int], float]
"""Function from a number of calls to the mean seconds of one."""


def device_timer(
    program: Callable[..., Any], arguments: Sequence[Array]
) -> Timer | None:
    """Return a timer of the kernels of a call, added up, on an NVIDIA GPU.

    None elsewhere, and if no kernel is recorded: a program that only copies has none.
    """
    if jax.default_backend() != "gpu":
        return None
    from jax.experimental.mosaic.gpu import profiler

    # Detaching CUPTI is slow, and only other profilers need it. A warm-up call precedes
    # each measured one.
    measured: Any = profiler.Cupti(finalize=False).measure(program)

    def seconds(calls: int) -> float:
        return sum(measured(*arguments)[1] for _ in range(calls)) / calls / 1e3

    return None if measured(*arguments)[1] is None else seconds


def host_timer(program: Callable[..., Any], arguments: Sequence[Array]) -> Timer:
    """Return a timer of calls by the host's clock, which keeps the device busy."""

    def seconds(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls - 1):
            program(*arguments)
        jax.block_until_ready(program(*arguments))
        return (time.perf_counter() - start) / calls

    return seconds


def calls_for(once: float, *, least: float, clock: Clock) -> int:
    """Return the number of calls of a timing.

    Args:
      once: Seconds of one call.
      least: Least seconds of a timing, up to a limit of calls.
      clock: Clock of the timing. That of the device needs fewer calls: the device need
        not be kept busy.
    """
    return min(10 if clock == "device" else 100, math.ceil(least / once))
