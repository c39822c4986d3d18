"""Composed scenes, and their objects."""

import dataclasses

import numpy as np
import pytest
from rich.console import Console

from carafe_jax.errors import RefusedError
from experiments.detection.scenes import __main__ as detection
from experiments.scenes.composition import compose, load_backgrounds
from experiments.scenes.cutouts import CLASSES, make_cutouts
from experiments.scenes.options import Scenes
from experiments.segmentation.scenes import __main__ as segmentation


def test_every_class_has_a_cutout_and_coins_differ():
    labels = [cutout.label for cutout in make_cutouts()]
    assert set(labels) == set(range(len(CLASSES)))
    assert labels.count(CLASSES.index("coin")) == 24


def test_visible_masks_of_a_scene_are_disjoint():
    cutouts = [[x for x in make_cutouts() if x.label == i] for i in range(4)]
    rng, backgrounds = np.random.default_rng(3), load_backgrounds()
    scene = compose(rng, cutouts, backgrounds, size=(96, 64), count=8)
    assert scene.picture.size == (96, 64)
    assert len(scene.objects) > 1
    assert np.stack([x.mask for x in scene.objects]).sum(0).max() == 1


def test_scenes_depend_on_seed_and_split():
    def first(split, **fields):
        config = Scenes(train=1, val=1, width=32, height=24, **fields)
        (scene,) = config.compose(split, Console(quiet=True))
        return np.asarray(scene.picture).tobytes()

    assert first("train") == first("train")
    assert len({first("train"), first("val"), first("train", seed=1)}) == 3


@pytest.mark.parametrize(
    ("main", "place"),
    [
        (segmentation.main, "train/images/00001.png"),
        (segmentation.main, "val/labels/12345.png"),
        (detection.main, "train/00001.png"),
    ],
)
def test_pictures_of_others_are_kept_without_overwrite(tmp_path, main, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    config = Scenes(output=tmp_path, train=1, val=1, width=32, height=24)
    with pytest.raises(RefusedError, match=f"`output` must not exist, .*{path.name}'"):
        main(config, Console(quiet=True))
    assert path.read_text() == "mine"
    assert [x for x in tmp_path.rglob("*") if x.is_file()] == [path]
    replaced = dataclasses.replace(config, overwrite=True)
    assert main(replaced, Console(quiet=True)) == 0


def test_numbers_of_objects_must_be_a_range():
    with pytest.raises(RefusedError, match="`objects` must be two numbers"):
        Scenes(objects=(3, 2))
