"""The hardware and software versions of a run."""

import dataclasses
import datetime
import os
import pathlib
import platform

import jax
import jaxlib.version


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Hardware, software versions and date, to record beside a measured number."""

    device: str
    cores: int
    jax: str
    jaxlib: str
    python: str
    date: str


def describe_machine() -> Machine:
    """Return JAX's default device, the software versions and the current time."""
    device = jax.devices()[0]
    return Machine(
        device=_cpu_model() if device.platform == "cpu" else device.device_kind,
        cores=_cores(),
        jax=jax.__version__,
        jaxlib=jaxlib.version.__version__,
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.processor() or platform.machine()
