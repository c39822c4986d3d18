"""Time by the clock of the device where it can be read, else by the host's.

On an NVIDIA GPU the kernels of a call are timed by CUPTI. From outside, each call takes
longer by as much as a small kernel takes: nothing that the kernel could be blamed for,
since inside of a larger program it is not there.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
from jaxtyping import Array

Clock = Literal["device", "host"]
Timer = Callable[[int], float]
"""From a number of calls to the mean seconds of one."""


def device_timer(
    program: Callable[..., Any], arguments: Sequence[Array]
) -> Timer | None:
    """Return what times the kernels of a call, added up, on an NVIDIA GPU.

    None elsewhere, and where no kernel is recorded: a program that only copies has
    none.
    """
    if jax.default_backend() != "gpu":
        return None
    from jax.experimental.mosaic.gpu import profiler

    # Detaching takes long, and is for those who bring a profiler of their own. Each
    # measured call comes after one to warm up.
    measured: Any = profiler.Cupti(finalize=False).measure(program)

    def seconds(calls: int) -> float:
        return sum(measured(*arguments)[1] for _ in range(calls)) / calls / 1e3

    return None if measured(*arguments)[1] is None else seconds


def host_timer(program: Callable[..., Any], arguments: Sequence[Array]) -> Timer:
    """Return what times calls from outside, the device being kept busy."""

    def seconds(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls - 1):
            program(*arguments)
        jax.block_until_ready(program(*arguments))
        return (time.perf_counter() - start) / calls

    return seconds


def calls_for(once: float, *, least: float, clock: Clock) -> int:
    """Choose how many calls make a timing.

    Args:
      once: Seconds of a call.
      least: Seconds of a timing, where a limit of calls does not end it before.
      clock: That times them; none are needed to keep a device busy by its own.
    """
    return min(10 if clock == "device" else 100, math.ceil(least / once))
