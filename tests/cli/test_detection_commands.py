"""A detector from a folder of pictures to boxes on a photograph, by its commands."""

import csv
import json

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from carafe_jax.tasks.detection import load
from tests.cli.test_commands import run
from tests.tasks.detection.drawn_folder import CLASSES, drawn_folder

DATA = [
    *("--data.batch-size", "2", "--data.short-side", "64", "--data.long-side", "64"),
    *("--data.max-objects", "4", "--data.read-threads", "0"),
    *("--data.prefetch-batches", "0"),
]
NETWORK = [
    *("--network.depth", "18", "--network.width", "4", "--network.norms", "batch"),
    *("--network.frozen-stages", "-1", "--network.fpn-features", "8"),
    *("--network.box-hidden", "16", "--network.mask-convs", "1"),
    *("--network.compressed-channels", "4", "4", "--network.anchors.scale", "4"),
    *("--network.proposals.candidates", "40", "--network.proposals.count", "30"),
    *("--network.detections.count", "10", "--network.rois.box-size", "3"),
    *("--network.rois.mask-size", "4", "--network.rois.finest-scale", "16"),
]
TRAINING = [
    *("--training.proposals.candidates", "60", "--training.proposals.count", "40"),
    *("--training.proposal-sampling.count", "24", "--optimizer.method", "adam"),
    *("--training.anchor-sampling.count", "64", "--optimizer.adam.warmup-steps", "1"),
    *("--loop.epochs", "1", "--loop.log-every", "1"),
]


@pytest.mark.weekly
def test_detector_is_trained_used_evaluated_and_exported(tmp_path, capsys):
    folder, workdir = drawn_folder(tmp_path / "data"), tmp_path / "run"
    train = ["train", "detection", "--data.source", str(folder)]
    train += ["--workdir", str(workdir), *DATA, *NETWORK, *TRAINING]
    status, text = run(train, capsys)
    assert status == 0, text
    assert "AP50" in text
    for name in ("config.json", "categories.json", "table.csv", "samples.png"):
        assert (workdir / name).stat().st_size, name
    with (workdir / "scalars.csv").open(newline="") as file:
        logged = [
            row["name"] for row in csv.DictReader(file) if row["split"] == "train"
        ]
    assert {"rpn_objectness", "masks", "accuracy", "learning_rate"} <= set(logged)
    again, text = run(train, capsys)
    assert again == 0
    assert "This run is finished" in text

    photo = folder / "val" / "0.png"
    model = ["--model", str(workdir)]
    limits = ["--score-threshold", "0.05", "--max-detections", "10"]
    found = tmp_path / "found"
    status, text = run(
        ["detect", str(photo), "-o", str(found), *model, *limits], capsys
    )
    assert status == 0, text
    coco = COCO(found / "detections.json")
    assert {x["id"]: x["name"] for x in coco.cats.values()} == CLASSES
    detector = load(workdir)
    assert len(coco.anns) == len(detector.detect(photo))
    assert (found / "0.jpg").stat().st_size

    status, text = run(["evaluate", *model, "--batch-size", "2"], capsys)
    assert status == 0, text
    assert (workdir / "evaluation" / "quality.csv").stat().st_size

    exported = tmp_path / "model.jax"
    status, text = run(["export", *model, "-o", str(exported)], capsys)
    assert status == 0, text
    assert "uint8 of shape (1, 64, 64, 3)" in " ".join(text.split())
    program = jax.export.deserialize(bytearray(exported.read_bytes()))
    with Image.open(photo) as image:
        pixels = np.asarray(image)
    height, width, _ = pixels.shape
    names = json.loads((tmp_path / "model.jax.classes.json").read_text())
    assert names == list(CLASSES.values())
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    blank[0, :height, :width] = pixels
    sizes = np.array([[height, width]], np.int32)
    outputs = program.call(blank, sizes, np.ones((1, 2), np.float32))
    assert outputs["box"].shape == (1, 10, 4)
    assert np.isfinite(outputs["score"]).all()
