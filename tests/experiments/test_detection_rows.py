"""Rows of the paper's tables of detectors."""

import importlib
import sys

import pytest

from carafe_jax.cli.train import train_one_of
from carafe_jax.models.detection import DetectorConfig
from experiments.detection._coco import coco_run

TABLES = (
    "table_1_detectors",
    "table_3_downsamplers",
    "table_4_upsamplers",
    "table_5_faster_rcnn",
    "table_6_mask_upsamplers",
    "table_7_mask_rcnn",
)


def rows(table) -> dict[str, DetectorConfig]:
    return importlib.import_module(f"experiments.detection.{table}").ROWS


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_different_networks_with_an_expected_number(table):
    networks = rows(table)
    assert len(set(networks.values())) == len(networks)
    text = sys.modules[f"experiments.detection.{table}"].__doc__ or ""
    for name in networks:
        part = name.removeprefix("faster_rcnn_").removeprefix("mask_rcnn_")
        assert part in text, name


def low_quality_iou(run):
    settings = run.training.for_detector(masks=run.network.has_masks)
    return settings.proposal_matching.low_quality_iou


def test_rows_of_the_paper_have_its_recipe():
    run = coco_run("table_1_mask_rcnn", rows("table_1_detectors")["mask_rcnn"])
    assert low_quality_iou(run) == 0.5
    assert run.data.source == "coco"
    assert str(run.start.model) == "runs/classification/imagenet_resnet101"
    run = coco_run("x", rows("table_3_downsamplers")["lip"])
    assert low_quality_iou(run) is None
    assert str(run.start.model) == "runs/classification/imagenet_resnet50_lip"
    both = rows("table_5_faster_rcnn")["both"]
    assert (both.downsampler, both.upsampler, both.extra_level) == (
        "carafe",
        "carafe",
        "lateral",
    )


def test_name_of_a_row_selects_its_run(monkeypatch, capsys):
    table = "experiments.detection.table_7_mask_rcnn"
    configs = {name: coco_run(name, each) for name, each in rows(TABLES[-1]).items()}
    for args, words in (
        (["fpn-mask", "--help"], "fpn_mask [-h]"),
        (["--help"], "{none,fpn,mask,fpn_mask,backbone,all}"),
        (["other"], "Unrecognized options: other"),
    ):
        monkeypatch.setattr(sys, "argv", [table, *args])
        with pytest.raises(SystemExit) as ended:
            train_one_of(configs, doc="Rows.")
        assert bool(ended.value.code) == (args == ["other"])
        printed = capsys.readouterr()
        assert words in printed.out + printed.err
