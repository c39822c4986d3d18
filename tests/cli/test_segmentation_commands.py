"""A segmentation network from a folder of pictures to its scores, by the commands."""

import csv

import pytest

from tests.cli.test_commands import run
from tests.tasks.segmentation.drawn_folder import CLASSES, drawn_folder

OPTIONS = [
    *("--data.batch-size", "2", "--data.crop-size", "32", "64"),
    *("--data.short-sides", "32", "--data.test-short-side", "32"),
    *("--data.long-side", "64", "--data.read-threads", "0"),
    *("--data.prefetch-batches", "0", "--network.depth", "18"),
    *("--network.width", "2", "--network.features", "4"),
    *("--network.pooled-features", "4", "--network.ppm-upsampler", "bilinear"),
    *("--network.fpn-upsampler", "bilinear", "--network.fuse-upsampler", "bilinear"),
    *("--optimizer.method", "adam", "--loop.steps", "2", "--loop.log-every", "1"),
]


@pytest.mark.slow
def test_network_is_trained_and_evaluated(tmp_path, capsys):
    folder, workdir = drawn_folder(tmp_path / "data"), tmp_path / "run"
    train = ["train", "segmentation", "--data.source", str(folder)]
    train += ["--workdir", str(workdir), *OPTIONS]
    status, text = run(train, capsys)
    assert status == 0, text
    assert "mean IoU" in text
    for name in ("label_classes.json", "table.csv", "per_class.csv", "samples.png"):
        assert (workdir / name).stat().st_size, name
    again, text = run(train, capsys)
    assert again == 0
    assert "This run is finished" in text

    model = ["--model", str(workdir), "--batch-size", "2"]
    status, text = run(["evaluate", *model], capsys)
    assert status == 0, text
    with (workdir / "evaluation" / "per_class.csv").open(newline="") as file:
        assert tuple(row["class"] for row in csv.DictReader(file)) == CLASSES
    options = ["--detection.sample-rows", "3"]
    status, text = run(["evaluate", *model, *options], capsys)
    assert status == 2
    assert "`detection` options must be left out" in " ".join(text.split())
