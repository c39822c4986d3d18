"""Time by the clock of the device where it can be read, else by the host's.

On an NVIDIA GPU the kernels of a call are timed by CUPTI. From outside, each call costs
some 20 microseconds more, in which XLA hands one program's memory on to the next: as
much as a small kernel takes, and nothing that the kernel could be blamed for, since
inside of a larger program it is not there.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import jax
from jaxtyping import Array

Clock = Literal["device", "host"]


def clock() -> Clock:
    """Tell by which clock programs are timed here."""
    return "device" if jax.default_backend() == "gpu" else "host"


def calls_for(once: float, *, least: float) -> int:
    """Choose how many calls make a timing.

    Args:
      once: Seconds of a call.
      least: Seconds of a timing, where a limit of calls does not end it before: by the
        clock of a device none are needed to keep it busy.
    """
    return min(10 if clock() == "device" else 100, math.ceil(least / once))


def seconds_of_call(
    program: jax.stages.Compiled, arguments: Sequence[Array], calls: int
) -> float:
    """Return the mean time of a number of calls.

    Raises:
      RuntimeError: CUPTI recorded no kernels on a GPU.
    """
    if clock() == "device":
        return seconds_on_device(program, arguments, calls)
    start = time.perf_counter()
    # The device takes the next call up while the host starts one more.
    for _ in range(calls - 1):
        program(*arguments)
    jax.block_until_ready(program(*arguments))
    return (time.perf_counter() - start) / calls


def seconds_on_device(
    program: jax.stages.Compiled, arguments: Sequence[Array], calls: int
) -> float:
    """Return the mean time of a call's kernels, added up, on an NVIDIA GPU.

    Raises:
      RuntimeError: CUPTI recorded no kernels.
    """
    from jax.experimental.mosaic.gpu import profiler

    # Detaching takes long, and is for those who bring a profiler of their own.
    measured: Any = profiler.Cupti(finalize=False).measure(program)
    # One by one, each after a call to warm up.
    milliseconds = [measured(*arguments)[1] for _ in range(calls)]
    if None in milliseconds:
        raise RuntimeError(
            "CUPTI must record the kernels of a program, got none: "
            "another profiler may be attached, or the driver denies access."
        )
    return sum(milliseconds) / calls / 1e3
