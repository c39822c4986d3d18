import time

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.clock import calls_for, device_timer, host_timer


def test_host_times_the_mean_of_calls(monkeypatch):
    calls = []

    def program(x):
        calls.append(x)
        return x

    # A second passes with each call.
    monkeypatch.setattr(time, "perf_counter", lambda: float(len(calls)))
    assert host_timer(program, (jnp.ones(2),))(5) == 1.0
    assert len(calls) == 5


@pytest.mark.parametrize(
    ("once", "clock", "calls"),
    [(1.0, "host", 1), (0.004, "host", 3), (1e-6, "host", 100), (1e-6, "device", 10)],
)
def test_short_calls_are_timed_many_times(once, clock, calls):
    assert calls_for(once, least=0.01, clock=clock) == calls


def test_a_cpu_is_timed_by_the_host():
    x = jnp.ones(2)
    assert device_timer(jax.jit(jnp.sin).lower(x).compile(), (x,)) is None


class Profiler:
    """Stands in for CUPTI: a kernel of 2 ms, or a program without kernels."""

    def __init__(self, milliseconds):
        self.milliseconds = milliseconds

    def __call__(self, finalize):
        return self

    def measure(self, program):
        return lambda *arguments: (program(*arguments), self.milliseconds)


@pytest.mark.parametrize(("milliseconds", "seconds"), [(2.0, 0.002), (None, None)])
def test_kernels_on_a_gpu_are_timed_by_the_device(monkeypatch, milliseconds, seconds):
    from jax.experimental.mosaic.gpu import profiler

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(profiler, "Cupti", Profiler(milliseconds))
    timer = device_timer(lambda x: x, (jnp.ones(2),))
    assert (None if timer is None else timer(3)) == seconds
