"""Composed scenes: their objects, and the annotations that are written."""

import json

import numpy as np
import pycocotools.mask
import pytest
from rich.console import Console

from experiments.detection.scenes.__main__ import Scenes, write_split
from experiments.detection.scenes.composition import compose, load_backgrounds
from experiments.detection.scenes.cutouts import CLASSES, make_cutouts


def test_every_class_has_a_cutout_and_coins_differ():
    labels = [cutout.label for cutout in make_cutouts()]
    assert set(labels) == set(range(len(CLASSES)))
    assert labels.count(CLASSES.index("coin")) == 24


def test_visible_masks_of_a_scene_are_disjoint():
    cutouts = [[x for x in make_cutouts() if x.label == i] for i in range(4)]
    rng, backgrounds = np.random.default_rng(3), load_backgrounds()
    scene, objects = compose(rng, cutouts, backgrounds, size=(96, 64), count=8)
    assert scene.size == (96, 64)
    assert len(objects) > 1
    assert np.stack([x.mask for x in objects]).sum(0).max() == 1


def test_annotations_describe_the_visible_masks(tmp_path):
    config = Scenes(output=tmp_path, train=3, val=1, width=64, height=48)
    written = write_split(config, "train", seed=(0, 0), console=Console(quiet=True))
    assert [x["file_name"] for x in written["images"]] == [
        f"{i:05d}.png" for i in (1, 2, 3)
    ]
    assert all(
        (tmp_path / "train" / x["file_name"]).exists() for x in written["images"]
    )
    for annotation in json.loads(json.dumps(written))["annotations"]:
        mask = pycocotools.mask.decode(annotation["segmentation"])
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert annotation["area"] == mask.sum()


def test_numbers_of_objects_must_be_a_range():
    with pytest.raises(ValueError, match="`objects` must be two numbers"):
        Scenes(objects=(3, 2))
