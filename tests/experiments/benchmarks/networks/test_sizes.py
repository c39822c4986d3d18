import csv
from typing import get_args

import pytest

from carafe_jax.models import ClassifierConfig, Downsampler
from experiments.benchmarks.networks.sizes import measure
from tests.subprocesses import ROOT

TABLE = "experiments/results/benchmarks/networks/sizes.csv"


def test_sizes_are_those_of_the_paper():
    conv, carafe = (
        measure(ClassifierConfig(depth=50, downsampler=name), image_size=224)
        for name in ("conv", "carafe")
    )
    assert conv.parameters == 25_557_032
    # 4.09 billion by torchvision's count, which leaves biases and norms out as well.
    assert conv.multiply_adds == pytest.approx(4.09e9, rel=1e-3)
    assert 0 < carafe.multiply_adds / conv.multiply_adds - 1 < 0.03


def test_tracked_table_has_every_down_sampler():
    with (ROOT / TABLE).open(newline="") as file:
        measured = {row["downsampler"] for row in csv.DictReader(file)}
    assert measured == set(get_args(Downsampler)), (
        "Run `python -m experiments.benchmarks.networks.sizes --output "
        f"{TABLE}`, and update the table in experiments/README.md."
    )
