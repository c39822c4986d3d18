import csv
import pathlib

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import decode_photograph
from carafe_jax.tasks.classification.data import ClassificationData
from experiments.benchmarks import input_pipeline
from experiments.benchmarks.input_pipeline import InputPipeline, main


@pytest.fixture
def data(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        for number in range(3):
            pixels = np.full((9, 9, 3), 10 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / "cat" / f"{number}.png")
    return ClassificationData(
        source=str(tmp_path), image_size=4, resize_size=4, batch_size=2, read_threads=1
    )


def test_speed_is_reported_per_core(data, tmp_path):
    console = Console(record=True, width=120)
    config = InputPipeline(
        data=data,
        worker_processes=(0,),
        batches=2,
        repetitions=2,
        output=tmp_path / "table.csv",
    )
    assert main(config, console) == 0
    with config.output.open(newline="") as file:
        (row,) = csv.DictReader(file)
    speed, cores = float(row["images_per_second"]), int(row["cores"])
    assert float(row["images_per_second_and_core"]) == pytest.approx(speed / cores)
    assert "cores for 2500 images/s" in console.export_text()


def test_images_are_read_from_jpegs_of_the_requested_size(data, tmp_path, monkeypatch):
    shapes = []

    def read(data, batches, repetitions):
        paths = sorted(pathlib.Path(data.source).glob("train/cat/*.jpg"))
        shapes.extend(decode_photograph(path).shape for path in paths)
        return 1.0

    monkeypatch.setattr(input_pipeline, "_JPEGS", 4)
    monkeypatch.setattr(input_pipeline, "_images_per_second", read)
    config = InputPipeline(
        data=data,
        worker_processes=(0,),
        jpeg_size=(20, 15),
        output=tmp_path / "table.csv",
    )
    assert main(config, Console(quiet=True)) == 0
    assert shapes == 4 * [(15, 20, 3)]
    with config.output.open(newline="") as file:
        assert next(csv.DictReader(file))["jpeg_size"] == "20x15"


def test_invalid_values_are_refused(data):
    with pytest.raises(ValueError, match="`batches` must be positive, got 0"):
        InputPipeline(data=data, batches=0)
    with pytest.raises(ValueError, match=r"`jpeg_size` must be positive, got \(0, 5\)"):
        InputPipeline(data=data, jpeg_size=(0, 5))
    with pytest.raises(ValueError, match="`worker_processes` must be one or more"):
        InputPipeline(data=data, worker_processes=(-1,))
