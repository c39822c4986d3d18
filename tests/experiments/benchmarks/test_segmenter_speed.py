"""Times of UperNet, and the same network in PyTorch."""

import csv
import sys

import pytest
from rich.console import Console

from carafe_jax.errors import RefusedError
from experiments.benchmarks.networks import timed_programs
from experiments.benchmarks.networks.segmenter_speed import __main__ as command
from experiments.benchmarks.networks.segmenter_speed.config import SIZES, SegmenterSpeed
from experiments.benchmarks.networks.segmenter_speed.inputs import Inputs
from experiments.benchmarks.networks.segmenter_speed.ours import count_parameters

PEER = "experiments.benchmarks.networks.segmenter_speed.peer"


@pytest.fixture
def clock(monkeypatch):
    """A clock by which plain networks take 3 s, and others 4 s."""
    now = [0.0]
    monkeypatch.setattr(timed_programs.time, "perf_counter", lambda: now[0])

    def programs(inputs, network):
        def call():
            now[0] += 3.0 if network.fuse_upsampler == "bilinear" else 4.0

        return {"inference": call, "training": call}

    monkeypatch.setattr(command, "programs_of", programs)


def test_table_has_images_per_second_and_the_share_of_carafe(
    tmp_path, monkeypatch, clock
):
    monkeypatch.setitem(sys.modules, PEER, None)  # As without PyTorch.
    config = SegmenterSpeed(
        batch_size=6, height=64, width=32, repetitions=2, output=tmp_path / "times.csv"
    )
    console = Console(record=True, width=120)
    assert command.main(config, console) == 0
    text = console.export_text()
    assert "Left out: UperNet R50, PyTorch (" in text
    assert "UperNet R50, 6 x 64 x 32" in text
    assert text.count("2.00") == 4
    assert text.count("1.50") == text.count("25.0 %") == 8
    with config.output.open(newline="") as file:
        rows = {(row["network"], row["mode"]): row for row in csv.DictReader(file)}
    assert len(rows) == 12
    row = rows["r50_carafe_all", "training"]
    assert (row["seconds"], row["height"], row["width"]) == ("4.0", "64", "32")


def test_only_carafe_has_other_parameters():
    size = SIZES["small"]
    torch, plain, carafe, everywhere = (
        count_parameters(size.with_resamplers(x), classes=size.classes)
        for x in ("torch", "plain", "carafe", "carafe_all")
    )
    assert torch == plain == 869_371 < carafe < everywhere


def test_network_in_pytorch_has_the_parameters_and_the_logits_of_ours():
    torch = pytest.importorskip("torch")
    from experiments.benchmarks.networks.segmenter_speed import peer

    for name in ("small", "r50"):
        size = SIZES[name]
        config = size.with_resamplers("torch")
        with torch.device("meta"):
            network = peer.UperNet(config, size.classes)
            logits = network.eval()(torch.zeros(2, 3, 64, 96))
        assert logits.shape == (2, size.classes, 16, 24)
        count = sum(x.numel() for x in network.parameters())
        assert count == count_parameters(config, classes=size.classes)
    inputs = Inputs.draw(
        SegmenterSpeed(batch_size=2, height=64, width=32).size("small")
    )
    config = SIZES["small"].with_resamplers("torch")
    calls = peer.torch_programs(inputs, config, parameters=869_371)
    for call in calls.values():
        call()
    with pytest.raises(AssertionError, match="869371 parameters, ours have 1"):
        peer.torch_programs(inputs, config, parameters=1)


@pytest.mark.parametrize(
    ("field", "value"), [("height", 48), ("batch_size", 0), ("repetitions", 0)]
)
def test_fields_out_of_range_are_refused(field, value):
    with pytest.raises(RefusedError, match=f"`{field}` must"):
        SegmenterSpeed(**{field: value})
