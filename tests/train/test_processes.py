"""Joining the processes of a run."""

import ctypes
import signal
import socket
import sys
import threading

import jax
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import join_processes
from tests.train.test_local_devices import open_mpi, slurm, visible

VARIABLES = (
    *("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
    *("JAX_LOCAL_DEVICE_IDS", "JAX_COORDINATOR_PORT", "JAX_COORDINATOR_BIND_ADDRESS"),
)
WHOLE = {
    "JAX_COORDINATOR_ADDRESS": "node01:1234",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
}


@pytest.fixture
def joined(monkeypatch):
    """Return a function that joins, and returns the arguments that JAX receives."""
    calls = []

    def join(variables):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        # May be set by the machine or by this test session.
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        calls.clear()
        join_processes()
        (call,) = calls
        return call

    monkeypatch.setattr(jax.distributed, "initialize", lambda **x: calls.append(x))
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: False)
    return join


@pytest.mark.parametrize("launched", [slurm, open_mpi])
def test_one_process_a_node_is_given_all_devices(joined, launched):
    # With None, JAX would use only the device of the local rank.
    assert joined(launched(**visible(8)))["local_device_ids"] == ()


@pytest.mark.parametrize(
    "launched",
    [slurm(localid=5, tasks="8(x2)", nodeid=1), open_mpi(rank=5, size=8)],
)
def test_one_process_a_device_is_given_its_own(joined, launched):
    assert joined(launched | visible(8))["local_device_ids"] == (5,)


def test_devices_that_the_user_names_are_left_to_jax(joined):
    variables = slurm(localid=1, tasks="3", **visible(8))
    call = joined(variables | {"JAX_LOCAL_DEVICE_IDS": "0,7"})
    assert call.get("local_device_ids") is None


def test_processes_that_the_environment_names_are_given_all_devices(joined):
    call = joined(WHOLE)
    assert (call["num_processes"], call["process_id"]) == (2, 1)
    assert call["local_device_ids"] == ()


@pytest.mark.parametrize(
    "address", ["node01:1", "10.0.0.1:65535", "[::1]:1234", "[fe80::1%eth0]:1234"]
)
def test_addresses_of_every_form_are_accepted(joined, address):
    joined(WHOLE | {"JAX_COORDINATOR_ADDRESS": address})


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("JAX_COORDINATOR_ADDRESS", "localhost", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "localhost:", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "localhost:http", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "localhost:0", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "localhost:65536", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "localhost:-1", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", ":1234", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "::1:1234", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "[::1]", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "http://node01:1234", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "node01:1234 ", "be host:port"),
        ("JAX_COORDINATOR_ADDRESS", "", "be host:port"),
        ("JAX_NUM_PROCESSES", "two", "be a positive integer"),
        ("JAX_NUM_PROCESSES", "", "be a positive integer"),
        ("JAX_NUM_PROCESSES", "0", "be a positive integer"),
        ("JAX_NUM_PROCESSES", "-2", "be a positive integer"),
        ("JAX_NUM_PROCESSES", "2.0", "be a positive integer"),
        ("JAX_PROCESS_ID", "first", "be a non-negative integer"),
        ("JAX_PROCESS_ID", "-1", "be a non-negative integer"),
        ("JAX_PROCESS_ID", "2", "be less than JAX_NUM_PROCESSES, 2"),
        ("JAX_LOCAL_DEVICE_IDS", "all", "be non-negative integers"),
        ("JAX_LOCAL_DEVICE_IDS", "", "be non-negative integers"),
        ("JAX_COORDINATOR_PORT", "x", "be a port"),
        ("JAX_COORDINATOR_BIND_ADDRESS", "0.0.0.0", "be host:port"),
    ],
)
def test_variable_that_breaks_its_rule_is_refused_by_name(joined, name, value, rule):
    with pytest.raises(RefusedError) as refused:
        joined(WHOLE | {name: value})
    start = f"The environment variable {name} must {rule}"
    assert str(refused.value).startswith(start)
    assert str(refused.value).endswith(f"got {value!r}.")


def test_port_that_another_program_has_is_refused(joined):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(RefusedError, match=f"can listen on, got '{address}'"):
            joined(WHOLE | {"JAX_COORDINATOR_ADDRESS": address, "JAX_PROCESS_ID": "0"})


@pytest.mark.parametrize("missing", list(WHOLE))
def test_variable_that_is_missing_is_named(joined, monkeypatch, missing):
    def refuse(**options):
        raise ValueError("it should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    variables = {name: value for name, value in WHOLE.items() if name != missing}
    error = rf"must be set together, .* got none for {missing}\."
    with pytest.raises(RefusedError, match=error):
        joined(variables)


def test_processes_that_do_not_arrive_time_out(joined, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: ended.wait(60))
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    error = r"must start within 0 s, got some that did not .*=node01:1234, .*ID=1\)"
    try:
        with pytest.raises(RefusedError, match=error):
            join_processes(timeout=0)
    finally:
        ended.set()


def test_process_that_has_joined_does_not_join_again(monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: pytest.fail("again"))
    join_processes()


@pytest.mark.skipif(sys.platform == "win32", reason="needs the C library's signals")
def test_sigterm_ends_a_process_that_has_joined(joined, monkeypatch):
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    ignore, default = 1, None

    def initialize(**_):
        # As JAX does: a handler that Python does not know of.
        libc.signal(signal.SIGTERM, ctypes.c_void_p(ignore))

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    join_processes()
    assert libc.signal(signal.SIGTERM, default) == default
