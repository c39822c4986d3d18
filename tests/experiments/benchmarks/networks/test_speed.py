import csv

import pytest
from rich.console import Console

from experiments.benchmarks.networks.speed import Speed, main


@pytest.mark.weekly
def test_steps_are_timed_beside_strided_convolutions(tmp_path):
    console = Console(record=True, width=120)
    config = Speed(
        depth=18,
        downsamplers=("conv", "max"),
        batch_size=2,
        image_size=32,
        repetitions=1,
        output=tmp_path / "speed.csv",
    )
    assert main(config, console) == 0
    with config.output.open(newline="") as file:
        rows = {(r["downsampler"], r["mode"]): r for r in csv.DictReader(file)}
    assert len(rows) == 4
    assert float(rows["conv", "train"]["over_conv"]) == 0
    ratio = float(rows["max", "infer"]["seconds"]) / float(
        rows["conv", "infer"]["seconds"]
    )
    assert float(rows["max", "infer"]["over_conv"]) == pytest.approx(ratio - 1)


def test_no_repetitions_are_refused():
    with pytest.raises(ValueError, match="`repetitions` must be positive, got 0"):
        Speed(repetitions=0)
