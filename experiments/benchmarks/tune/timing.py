"""Compilation, check and timing of a configuration."""

import statistics
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from carafe_jax.errors import RefusedError
from experiments.benchmarks.clock import calls_for, device_timer, host_timer
from experiments.benchmarks.tune.jobs import Job

_LEAST_SECONDS = 0.005  # Least duration of a timing.


def compile_config(
    job: Job, config: Any, arrays: tuple[Array, ...]
) -> jax.stages.Compiled | Exception:
    """Return the compiled launch, or the error of its compilation."""

    def launch(*arrays: Array) -> Array:
        return job.run(config, *arrays)

    try:
        return jax.jit(launch).lower(*arrays).compile()
    # Compilers reject block sizes by any kind of error.
    except Exception as error:
        return error


def check(found: Array, expected: Array) -> None:
    """Raise if the result of a launch differs from that of plain JAX.

    Raises:
      RefusedError: They differ; the message has the largest difference.
    """
    tolerance = 1e-3 if found.dtype.itemsize >= 4 else 5e-2
    difference, largest = _compare(found, expected)
    if not difference <= tolerance * largest:
        raise RefusedError(
            f"Its result must be plain JAX's, got a difference of {difference:.2e}."
        )


@jax.jit
def _compare(found: Array, expected: Array) -> tuple[Array, Array]:
    wide, other = found.astype(jnp.float32), expected.astype(jnp.float32)
    return jnp.max(jnp.abs(wide - other)), jnp.max(jnp.abs(other))


def seconds_of(
    program: jax.stages.Compiled, arrays: tuple[Array, ...], repetitions: int
) -> float:
    """Return the median time of a call."""
    on_device = device_timer(program, arrays)
    seconds = on_device or host_timer(program, arrays)
    clock = "host" if on_device is None else "device"
    calls = calls_for(seconds(1), least=_LEAST_SECONDS, clock=clock)
    return statistics.median(seconds(calls) for _ in range(repetitions))
