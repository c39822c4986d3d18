"""Steps compiled ahead of time, here of a linear network for the CPU."""

import csv

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, Mesh
from rich.console import Console

from carafe_jax.train.mesh import BATCH_AXIS
from experiments.benchmarks.networks import compiled_steps, pod_steps
from experiments.benchmarks.networks.pod_steps import (
    PodSteps,
    Training,
    compile_pod_steps,
)
from experiments.benchmarks.networks.pods import batch_array
from tests.experiments.benchmarks.networks.recorded import recorded_columns


@pytest.fixture
def cpu(monkeypatch):
    """Compile for one CPU device in place of a slice."""
    mesh = Mesh(jax.devices()[:1], (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    monkeypatch.setattr(pod_steps, "mesh_of", lambda _: mesh)
    monkeypatch.setattr(compiled_steps, "prepare_compiler", lambda: None)


def linear(images, mesh):
    def losses(variables, batch, key):
        return (batch @ variables["params"]).sum(), {}

    return Training(
        batch=batch_array((images, 8), jnp.float32, mesh),
        variables={"params": jax.ShapeDtypeStruct((8, 4), jnp.float32)},
        losses=losses,
    )


@pytest.mark.parametrize(("memory", "status"), [(2**20, 0), (300, 1)])
def test_steps_are_compiled_and_reported(cpu, tmp_path, monkeypatch, memory, status):
    monkeypatch.setattr(compiled_steps, "MEMORY", memory)
    config = PodSteps(
        images=(1, 3), height=8, width=16, classes=1, output=tmp_path / "new" / "a.csv"
    )
    console = Console(record=True, width=120)
    title = "a network, float32"
    assert compile_pod_steps(config, linear, title=title, console=console) == status
    with config.output.open(newline="") as file:
        one, three = csv.DictReader(file)
    assert list(one) == recorded_columns("benchmarks/networks/detection_aot.csv")
    assert (one["images"], one["height"], one["width"]) == ("1", "8", "16")
    # Two more images of eight float32 numbers.
    assert int(three["arguments"]) - int(one["arguments"]) == 2 * 8 * 4
    assert (one["all_reduces"], one["others"]) == ("0", "")
    text = console.export_text()
    assert "Training step of a network, float32, 8 x 16, per chip" in text
    assert ("The step of 3 images does not fit." in text) == bool(status)
