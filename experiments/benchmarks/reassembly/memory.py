"""Free memory, and the bandwidth of a large copy."""

import os
import pathlib
import statistics

import jax
import jax.numpy as jnp

from experiments.benchmarks.clock import host_timer
from experiments.benchmarks.reassembly.platforms import on_accelerator

_REPETITIONS = 7


def copy_bandwidth(megabytes: int | None) -> float:
    """Return the bytes per second that a copy far larger than the caches moves.

    Args:
      megabytes: Size of the array; None: 256 on a CPU, else 8192, but not more than a
        quarter of the free memory.
    """
    if megabytes is None:
        megabytes = 8192 if on_accelerator() else 256
        free = available_bytes()
        if free is not None:
            megabytes = max(1, min(megabytes, free // 4 // 10**6))
    source = jnp.ones(megabytes * 10**6 // 4, jnp.float32)
    copy = jax.jit(jnp.copy).lower(source).compile()
    calls = 10 if on_accelerator() else 1
    jax.block_until_ready(copy(source))
    seconds = host_timer(copy, (source,))
    times = [seconds(calls) for _ in range(_REPETITIONS)]
    return 2 * source.nbytes / statistics.median(times)


def available_bytes() -> int | None:
    """Return the free memory of the device; on a CPU, of the machine and container."""
    if on_accelerator():
        stats = jax.devices()[0].memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else limit - stats.get("bytes_in_use", 0)
    found = [_free_of_machine(), _free_of_container()]
    return min((free for free in found if free is not None), default=None)


def _free_of_machine() -> int | None:
    path = pathlib.Path("/proc/meminfo")
    if not path.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = path.read_text().splitlines()
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0][1]) if found else None


def _free_of_container() -> int | None:
    folder = pathlib.Path("/sys/fs/cgroup")
    limit, used = folder / "memory.max", folder / "memory.current"
    if not (limit.exists() and used.exists()) or limit.read_text().strip() == "max":
        return None
    return int(limit.read_text()) - int(used.read_text())
