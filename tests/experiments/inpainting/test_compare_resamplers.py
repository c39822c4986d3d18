import csv
import dataclasses

import pytest
from rich.console import Console

from experiments.inpainting import compare_resamplers, report
from tests.experiments.inpainting.test_quickstart import tiny


@pytest.mark.slow
def test_comparison_averages_over_the_seeds(tmp_path):
    config = compare_resamplers.Comparison(
        base=tiny(tmp_path, steps=2), resamplers=("conv",), seeds=(0, 1)
    )
    console = Console(record=True, width=100)
    assert compare_resamplers.main(config, console) == 0
    runs = [
        report.read_table(tmp_path / f"conv-{seed}" / "table.csv") for seed in (0, 1)
    ]
    a, b = (run["U-Net"]["hole_psnr"] for run in runs)
    assert a != b
    with (tmp_path / "comparison.csv").open(newline="") as file:
        rows = {(r["method"], r["metric"]): r for r in csv.DictReader(file)}
    row = rows["U-Net", "hole_psnr"]
    assert float(row["mean"]) == pytest.approx((a + b) / 2)
    assert float(row["standard_deviation"]) == pytest.approx(abs(a - b) / 2**0.5)
    assert float(rows["biharmonic", "hole_psnr"]["standard_deviation"]) == 0


@pytest.mark.parametrize("field", ["resamplers", "seeds"])
def test_nothing_to_compare_is_refused(field):
    with pytest.raises(ValueError, match=f"`{field}` must be one or more"):
        dataclasses.replace(compare_resamplers.Comparison(), **{field: ()})
