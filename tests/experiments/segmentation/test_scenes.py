"""Label maps of composed scenes."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import open_segmented_images
from carafe_jax.errors import RefusedError
from experiments.scenes.composition import Scene, SceneObject
from experiments.scenes.options import Scenes
from experiments.segmentation.scenes.__main__ import CLASSES, label_map_of, main

QUIET = Console(quiet=True)


def test_pixels_have_the_class_of_their_object_or_of_the_background():
    mask = np.array([[True, False, False], [True, True, False]])
    scene = Scene(Image.new("RGB", (3, 2)), 1, [SceneObject(2, mask)])
    horse, grass = CLASSES.index("horse"), CLASSES.index("grass")
    assert label_map_of(scene).tolist() == [
        [horse, grass, grass],
        [horse, horse, grass],
    ]


def test_folder_is_a_source_of_segmented_images(tmp_path):
    config = Scenes(output=tmp_path, train=3, val=1, width=64, height=48)
    assert main(config, QUIET) == 0
    images = open_segmented_images(tmp_path, split="train")
    assert images.classes == CLASSES
    assert images.palette is not None
    assert len(np.unique(images.palette, axis=0)) == len(CLASSES)
    assert len(images) == 3
    assert len(open_segmented_images(tmp_path, split="test")) == 1
    for index in range(3):
        picture, labels = images.open(index)
        assert picture.size == (64, 48)
        assert (labels < len(CLASSES)).all()
        # The background is one class, objects are others.
        assert len(np.setdiff1d(labels, range(4))) == 1
    with pytest.raises(RefusedError, match="`output`"):
        main(config, QUIET)
    smaller = dataclasses.replace(config, train=1, overwrite=True)
    assert main(smaller, QUIET) == 0
    assert len(open_segmented_images(tmp_path, split="train")) == 1
