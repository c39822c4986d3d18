"""The processes of a run: one for each host, or the only one."""

import os
import signal

import jax
import numpy as np
from jax.experimental import multihost_utils

from carafe_jax.errors import RefusedError


def join_processes() -> None:
    """Make this process one of several that run the same command.

    `jax.distributed.initialize` finds the others on Slurm, under Open MPI, on
    Kubernetes and on TPU pods. Elsewhere each process needs the environment variables
    JAX_COORDINATOR_ADDRESS ("host:port" of the first), JAX_NUM_PROCESSES and
    JAX_PROCESS_ID. To be called before the devices of JAX are requested.

    Raises:
      RefusedError: The environment does not name the others.
    """
    try:
        jax.distributed.initialize(
            num_processes=_number("JAX_NUM_PROCESSES"),
            process_id=_number("JAX_PROCESS_ID"),
        )
    except ValueError as error:
        raise RefusedError(
            "The processes of a distributed run must be known by Slurm, Open MPI, "
            "Kubernetes or a TPU pod, or by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES "
            f"and JAX_PROCESS_ID, got: {error}"
        ) from error


def _number(variable: str) -> int | None:
    return int(os.environ[variable]) if variable in os.environ else None


def is_first() -> bool:
    """Return whether this is process 0, which writes and prints for all."""
    return jax.process_index() == 0


def signal_of_any(own: signal.Signals | None) -> signal.Signals | None:
    """Agree on a signal that came to any of the processes; all call it together."""
    if jax.process_count() == 1:
        return own
    numbers = multihost_utils.process_allgather(np.int32(own or 0))
    largest = int(np.max(numbers))
    return signal.Signals(largest) if largest else None
