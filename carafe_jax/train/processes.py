"""The processes of a run: one for each host, or the only one."""

import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from carafe_jax.errors import RefusedError
from carafe_jax.train.local_devices import choose_devices, read_node

_ADDRESS = "JAX_COORDINATOR_ADDRESS"
_COUNT = "JAX_NUM_PROCESSES"
_INDEX = "JAX_PROCESS_ID"
_DEVICES = "JAX_LOCAL_DEVICE_IDS"
_MESSAGE_BYTES = 2000


def join_processes(*, timeout: int = 300) -> None:
    """Connect this process to the others of a distributed run.

    All processes run the same command.

    `jax.distributed.initialize` finds the others on Slurm, under Open MPI, on
    Kubernetes and on TPU pods. Elsewhere each process needs the environment variables
    JAX_COORDINATOR_ADDRESS ("host:port" of the first), JAX_NUM_PROCESSES and
    JAX_PROCESS_ID. Call it before JAX initialises its devices. In a process that has
    already joined, it does nothing.

    A single process on a node takes all of its GPUs; where Slurm or Open MPI starts
    several, they split the GPUs evenly (`local_devices`). JAX_LOCAL_DEVICE_IDS, such as
    "0,1", overrides this.

    Args:
      timeout: Seconds to wait for the others.

    Raises:
      RefusedError: The environment does not name the others, or a variable breaks its
        rule; the GPUs of a node cannot be split evenly; or the others do not connect
        in time.
    """
    if jax.distributed.is_initialized():
        return
    options = _options(os.environ)
    raised: list[BaseException] = []

    def join() -> None:
        try:
            # At its own timeout JAX would end the process.
            jax.distributed.initialize(
                **options, initialization_timeout=2 * timeout + 60
            )
        except BaseException as error:
            raised.append(error)

    # In a thread: JAX waits in native code, where Python handles no signals.
    thread = threading.Thread(target=join, daemon=True, name="join_processes")
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise RefusedError(
            f"All processes of the run must start within {timeout} s, got some that "
            f"did not arrive{_known(os.environ)}. Check that each was started, that "
            "their number is right, and that they can reach the port of the first."
        )
    _restore_sigterm()
    if raised:
        _explain(raised[0])


def _restore_sigterm() -> None:
    """Restore Python's handler of SIGTERM; JAX's replaces it and ignores the signal.

    JAX's handler marks the process as preempted, which nothing reads before the first
    step.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _explain(error: BaseException) -> None:
    """Raise the error of joining as a RefusedError."""
    if not isinstance(error, Exception):
        raise error
    missing = [x for x in (_ADDRESS, _COUNT, _INDEX) if x not in os.environ]
    if isinstance(error, ValueError) and 0 < len(missing) < 3:
        raise RefusedError(
            f"{_ADDRESS}, {_COUNT} and {_INDEX} must be set together, outside of "
            "Slurm, Open MPI, Kubernetes and TPU pods, got none for "
            f"{' and '.join(missing)}."
        ) from error
    raise RefusedError(
        "The processes of a distributed run must be known by Slurm (started by srun), "
        f"Open MPI, Kubernetes or a TPU pod, or by {_ADDRESS}, {_COUNT} and {_INDEX}, "
        f"got {type(error).__name__}: {error}"
    ) from error


def _options(environment: Any) -> dict[str, Any]:
    """Return the arguments for JAX from the environment, each checked."""
    if _ADDRESS in environment:
        _check_address(_ADDRESS, environment[_ADDRESS])
    if "JAX_COORDINATOR_BIND_ADDRESS" in environment:
        name = "JAX_COORDINATOR_BIND_ADDRESS"
        _check_address(name, environment[name])
    if "JAX_COORDINATOR_PORT" in environment:
        name = "JAX_COORDINATOR_PORT"
        _check_variable(
            name, environment[name], _PORT_RULE, holds=_is_port(environment[name])
        )
    count = _number(environment, _COUNT, "be a positive integer", least=1)
    index = _number(environment, _INDEX, "be a non-negative integer", least=0)
    if count is not None and index is not None and index >= count:
        rule = f"be less than {_COUNT}, {count}"
        _check_variable(_INDEX, environment[_INDEX], rule, holds=False)
    if index == 0 and _ADDRESS in environment:
        _check_free(environment[_ADDRESS])
    options: dict[str, Any] = {"num_processes": count, "process_id": index}
    if _DEVICES in environment:
        ids = environment[_DEVICES]
        rule = "be non-negative integers, such as '0,1'"
        _check_variable(
            _DEVICES, ids, rule, holds=re.fullmatch(r"\d+(,\d+)*", ids) is not None
        )
        return options  # JAX reads it.
    node = read_node(environment)
    # An empty tuple means all devices; None would mean JAX's choice.
    return {**options, "local_device_ids": choose_devices(node) if node else ()}


_PORT_RULE = "be a port, an integer from 1 to 65535"


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 2**16


def _check_address(name: str, address: str) -> None:
    rule = (
        "be host:port, such as 'node01:1234' or '[fd00::1]:1234', with a port from 1 "
        "to 65535"
    )
    match = re.fullmatch(r"(?:[^\s:/\[\]]+|\[[0-9A-Fa-f:.]+(?:%\w+)?\]):(.+)", address)
    _check_variable(name, address, rule, holds=match is not None and _is_port(match[1]))


def _check_free(address: str) -> None:
    """Raise if another program listens on the port, as JAX would crash."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    with socket.socket(family) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("", int(address.rpartition(":")[2])))
        except OSError as error:
            raise RefusedError(
                f"The environment variable {_ADDRESS} must have a port that this "
                f"process can listen on, got {address!r}: {error.strerror}."
            ) from error


def _number(environment: Any, name: str, rule: str, *, least: int) -> int | None:
    if name not in environment:
        return None
    text = environment[name]
    holds = re.fullmatch(r"[0-9]{1,9}", text) is not None and int(text) >= least
    _check_variable(name, text, rule, holds=holds)
    return int(text)


def _check_variable(variable: str, value: str, rule: str, *, holds: bool) -> None:
    if not holds:
        raise RefusedError(
            f"The environment variable {variable} must {rule}, got {value!r}."
        )


def _known(environment: Any) -> str:
    """Return, in brackets, the variables that name the processes."""
    names = [x for x in (_ADDRESS, _COUNT, _INDEX) if x in environment]
    shown = ", ".join(f"{name}={environment[name]}" for name in names)
    return f" ({shown})" if shown else ""


def is_first() -> bool:
    """Return whether this is process 0, which writes and prints for all."""
    return jax.process_index() == 0


def call_on_first(function: Callable[[], object]) -> None:
    """Call a function on the first process, and raise its error on all.

    All processes call this together.

    Raises:
      RefusedError: The function raised one on the first process.
      OSError: The function raised one; the other processes raise a RefusedError.
    """
    if jax.process_count() == 1:
        function()
        return
    refusal: Exception | None = None
    if is_first():
        try:
            function()
        except (RefusedError, OSError) as error:
            refusal = error
    message = _text_of_first("" if refusal is None else str(refusal))
    if refusal is not None:
        raise refusal
    if message:
        raise RefusedError(message)


def _text_of_first(text: str) -> str:
    """Return the text of the first process, on all processes."""
    encoded = text.encode(errors="replace")[:_MESSAGE_BYTES]
    padded = np.zeros(_MESSAGE_BYTES, np.uint8)
    padded[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    found = np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8)
    return found.tobytes().rstrip(b"\0").decode(errors="replace")


def signal_of_any(own: signal.Signals | None) -> signal.Signals | None:
    """Return a signal that any process received; all processes call this together."""
    if jax.process_count() == 1:
        return own
    numbers = multihost_utils.process_allgather(np.int32(own or 0))
    largest = int(np.max(numbers))
    return signal.Signals(largest) if largest else None
