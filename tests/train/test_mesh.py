"""The log line with the processes and devices of a run."""

import types

import jax
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train.mesh import describe_devices


def pretend(monkeypatch, counts, *, platform="gpu", kind="NVIDIA H100 80GB HBM3"):
    devices = [
        types.SimpleNamespace(process_index=index, platform=platform, device_kind=kind)
        for index, count in enumerate(counts)
        for _ in range(count)
    ]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    monkeypatch.setattr(jax, "process_count", lambda: len(counts))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((8,) * 4, "4 processes x 8 GPUs (NVIDIA H100 80GB HBM3) = 32 devices"),
        ((1,) * 8, "8 processes x 1 GPU (NVIDIA H100 80GB HBM3) = 8 devices"),
        ((8,), "1 process x 8 GPUs (NVIDIA H100 80GB HBM3) = 8 devices"),
        ((1,), "1 process with 1 GPU (NVIDIA H100 80GB HBM3)"),
    ],
)
def test_processes_and_devices_are_counted(monkeypatch, counts, expected):
    pretend(monkeypatch, counts)
    assert describe_devices() == expected


def test_other_devices_are_named(monkeypatch):
    pretend(monkeypatch, (4, 4), platform="tpu", kind="TPU v5 lite")
    assert describe_devices() == "2 processes x 4 TPUs (TPU v5 lite) = 8 devices"


@pytest.mark.parametrize("counts", [(8, 1), (1, 8, 8)])
def test_processes_of_unequal_devices_are_refused(monkeypatch, counts):
    pretend(monkeypatch, counts)
    listed = ", ".join(map(str, counts))
    with pytest.raises(RefusedError, match=f"as many devices .* got {listed} devices"):
        describe_devices()
