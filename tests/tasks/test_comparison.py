import csv
import dataclasses

import pytest
from rich.console import Console

from carafe_jax.tasks.comparison import repeat_over_seeds
from carafe_jax.tasks.tables import read_table
from experiments.classification import compare_downsamplers
from experiments.inpainting import compare_generators, compare_resamplers
from tests.tasks.runs import (
    adversarial,
    call,
    classification,
    inpainting,
    labelled_folder,
)


def test_comparison_averages_over_the_seeds(tmp_path):
    config = compare_resamplers.Comparison(
        base=inpainting(tmp_path, steps=2), resamplers=("conv",), seeds=(0, 1)
    )
    status, text = call(compare_resamplers.main, config)
    assert status == 0
    runs = [read_table(tmp_path / f"conv-{seed}" / "table.csv") for seed in (0, 1)]
    a, b = (run["U-Net"]["hole_psnr"] for run in runs)
    assert a != b
    with (tmp_path / "comparison.csv").open(newline="") as file:
        rows = {(r["method"], r["metric"]): r for r in csv.DictReader(file)}
    row = rows["U-Net", "hole_psnr"]
    assert float(row["mean"]) == pytest.approx((a + b) / 2)
    assert float(row["standard_deviation"]) == pytest.approx(abs(a - b) / 2**0.5)
    assert row["seeds"] == "2"
    # Measured once, as it does not vary.
    assert rows["biharmonic", "hole_psnr"]["standard_deviation"] == ""
    assert "2 seeds: mean ± deviation" in text
    assert f"± {abs(a - b) / 2**0.5:.2f}" in text


def test_comparison_of_one_seed_shows_no_deviation(tmp_path):
    folder = labelled_folder(tmp_path / "images")
    base = classification(folder, tmp_path / "runs", epochs=1)
    config = compare_downsamplers.Comparison(
        base=base, downsamplers=("conv", "max"), seeds=(0,)
    )
    status, text = call(compare_downsamplers.main, config)
    assert status == 0
    table = read_table(tmp_path / "runs" / "max-0" / "table.csv")
    assert f"{table['ResNet-18, max']['loss']:.4f}" in text
    assert "±" not in text
    assert ", 1 epoch, 1 seed" in " ".join(text.split())
    with (tmp_path / "runs" / "comparison.csv").open(newline="") as file:
        assert {row["standard_deviation"] for row in csv.DictReader(file)} == {""}


@pytest.mark.slow
def test_comparison_has_a_row_for_each_network(tmp_path):
    config = compare_generators.Comparison(
        base=adversarial(tmp_path, steps=2), seeds=(0,)
    )
    status, text = call(compare_generators.main, config)
    assert status == 0
    for name in ("Global&Local, CARAFE++", "Partial Conv, CARAFE++"):
        assert name in text
    assert (tmp_path / "comparison.csv").exists()


def test_networks_of_one_name_have_a_row_each(tmp_path):
    config = compare_resamplers.Comparison(
        base=inpainting(tmp_path, steps=1), seeds=(0,)
    )
    networks = {"narrow": {}, "wide": {"stage_features": (5, 8)}}
    console = Console(record=True, width=200)
    assert repeat_over_seeds(config, networks, field="network", console=console) == 0
    text = console.export_text()
    assert "U-Net (narrow)" in text
    assert "U-Net (wide)" in text


def test_comparison_of_several_processes_is_refused(tmp_path):
    base = dataclasses.replace(inpainting(tmp_path), distributed=True)
    config = compare_resamplers.Comparison(base=base)
    with pytest.raises(ValueError, match=r"`base\.distributed` must be False"):
        compare_resamplers.main(config, Console(quiet=True))


@pytest.mark.parametrize(
    ("comparison", "field"),
    [
        (compare_resamplers.Comparison, "resamplers"),
        (compare_downsamplers.Comparison, "downsamplers"),
        (compare_generators.Comparison, "seeds"),
    ],
)
def test_nothing_to_compare_is_refused(comparison, field):
    with pytest.raises(ValueError, match=f"`{field}` must be one or more"):
        dataclasses.replace(comparison(), **{field: ()})
