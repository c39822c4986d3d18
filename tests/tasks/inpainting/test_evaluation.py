"""Evaluation of trained networks and classic fills."""

import csv
import json
import sys
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from carafe_jax.cli.evaluate import Evaluate, main
from carafe_jax.tasks.inpainting.classic_fills import CLASSIC_FILLS, ClassicMethod
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions
from carafe_jax.tasks.inpainting.quality import COLUMNS, quality_of_each
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.tables import read_table
from tests.tasks.runs import adversarial, call

CLASSIC = (
    "mean colour",
    "harmonic",
    "biharmonic",
    "spline",
    "Telea",
    "Navier-Stokes",
)
KINDS = ("free-form", "boxes", "strokes")


@pytest.mark.parametrize("batch_size", [1, 8])
def test_evaluation_agrees_with_the_table_of_the_run(run, tmp_path, batch_size):
    config = Evaluate(model=run, which="last", batch_size=batch_size, output=tmp_path)
    status, text = call(main, config)
    assert status == 0
    table = read_table(run / "table.csv")
    for method in ("mean colour", "biharmonic", "spline", "U-Net"):
        assert f"{table[method]['hole_psnr']:.2f}" in text
    overall = _rows(tmp_path / "quality.csv", holes="free-form", hole_fraction="all")
    assert list(overall) == [
        *CLASSIC,
        "U-Net",
        "U-Net, coarse to fine",
    ]
    for method, row in table.items():
        for name in COLUMNS:
            assert float(overall[method][name]) == pytest.approx(row[name], rel=1e-5)
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["step"] == 4
    with Image.open(tmp_path / "samples.png") as picture:
        # Input, six fills, the network twice, truth: two test pictures of each kind.
        assert picture.size == (10 * 196 - 4, 26 + 6 * 196 - 4)


def _rows(path, **where):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [r for r in rows if all(r[name] == value for name, value in where.items())]
    return {row["method"]: row for row in chosen}


def test_evaluation_of_other_holes_has_other_results(run, tmp_path):
    config = Evaluate(
        model=run,
        output=tmp_path,
        inpainting=EvaluationOptions(test_seed=7, test_crops=2, classic=()),
    )
    call(main, config)
    row = _rows(tmp_path / "quality.csv", holes="free-form", hole_fraction="all")[
        "U-Net"
    ]
    assert row["pictures"] == "4"
    table = read_table(run / "table.csv")
    assert float(row["hole_psnr"]) != pytest.approx(table["U-Net"]["hole_psnr"])


def test_kinds_of_holes_are_measured_apart(run, tmp_path):
    config = Evaluate(
        model=run, output=tmp_path, inpainting=EvaluationOptions(classic=("spline",))
    )
    _, text = call(main, config)
    fractions = {}
    for kind in KINDS:
        rows = _rows(tmp_path / "quality.csv", holes=kind, hole_fraction="all")
        assert list(rows) == ["spline", "U-Net", "U-Net, coarse to fine"]
        assert f"filling: {kind}" in text
        assert f"{float(rows['spline']['hole_psnr']):.2f}" in text
        rows = _rows(tmp_path / "images.csv", holes=kind, picture="0")
        fractions[kind] = float(rows["spline"]["hole_fraction"])
    assert len(set(fractions.values())) == 3
    assert text.count("PSNR (dB), by the hole's fraction") == 1
    assert text.count("SSIM, by the hole's fraction") == 1
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["holes"]["strokes"]["brush_width"] == [0.04, 0.04]


def test_size_of_boxes_can_be_fixed(run, tmp_path):
    options = EvaluationOptions(
        holes=("boxes",), box_height=(0.25, 0.25), box_width=(0.5, 0.5), classic=()
    )
    call(main, Evaluate(model=run, output=tmp_path, inpainting=options))
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["holes"], row["hole_fraction"]) for row in rows} == {
        ("boxes", "0.125")
    }


def test_fills_of_opencv_are_left_out_where_it_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    config = Evaluate(
        model=run,
        output=tmp_path,
        inpainting=EvaluationOptions(classic=("mean-colour", "telea")),
    )
    status, text = call(main, config)
    assert status == 0
    assert "Left out: Telea" in text
    methods = list(_rows(tmp_path / "quality.csv", holes="boxes", hole_fraction="all"))
    assert methods == ["mean colour", "U-Net", "U-Net, coarse to fine"]


def test_generator_is_measured_without_its_discriminator(tmp_path):
    config = adversarial(tmp_path, resampler="conv")
    assert call(train_and_report, config)[0] == 0
    status, text = call(main, Evaluate(model=tmp_path, which="last"))
    assert status == 0
    table = read_table(tmp_path / "table.csv")
    assert f"{table['Global&Local']['hole_psnr']:.2f}" in text


def test_quality_of_the_truth_is_perfect():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    mask = (rng.random((2, 16, 16, 1)) < 0.3).astype(np.float32)
    measured = quality_of_each(image, {"image": image, "mask": mask})
    for region in ("hole", "whole"):
        np.testing.assert_array_equal(measured[f"{region}_l1"], 0)
        assert np.isinf(measured[f"{region}_psnr"]).all()
    # Float32 rounding of the local variances.
    np.testing.assert_allclose(measured["whole_ssim"], 1, atol=1e-4)


@pytest.mark.parametrize("options", [{"radius": 0.0}, {"sample_rows": 0}])
def test_invalid_options_are_refused(options: dict[str, Any]):
    ((field, value),) = options.items()
    with pytest.raises(ValueError, match=f"`{field}` must be positive, got {value}"):
        EvaluationOptions(**options)


def test_every_classic_fill_is_measured_unless_some_are_chosen():
    assert tuple(CLASSIC_FILLS) == get_args(ClassicMethod)
    assert EvaluationOptions().classic == get_args(ClassicMethod)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holes": ()}, r"`holes` must name a kind of hole, got \(\)"),
        (
            {"box_height": (0.3, 0.2)},
            r"`box_height` must be two numbers .* \(0.3, 0.2\)",
        ),
        ({"box_width": (0.0, 0.2)}, r"`box_width` must be two numbers .* \(0.0, 0.2\)"),
        ({"stroke_width": 1.0}, "`stroke_width` must lie between 0 and 1, got 1.0"),
    ],
)
def test_invalid_holes_are_refused(options: dict[str, Any], message):
    with pytest.raises(ValueError, match=message):
        EvaluationOptions(**options)
