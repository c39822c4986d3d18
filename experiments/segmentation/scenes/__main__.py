"""Compose pictures of objects on textured backgrounds, with their label maps.

Cost: seconds. Nothing is downloaded: objects and backgrounds are cut out of
photographs that ship with scikit-image.
Shows: the folder, with train/, val/ and classes.txt; some of its pictures are drawn by
carafe-jax check-data FOLDER --task segmentation
Command: python -m experiments.segmentation.scenes -o runs/segmentation_scenes
"""

import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.files import check_new
from carafe_jax.tasks.lines import print_line
from experiments.scenes.composition import BACKGROUNDS, Scene
from experiments.scenes.cutouts import CLASSES as OBJECTS
from experiments.scenes.options import (
    SPLITS,
    Scenes,
    ScenesSplit,
    picture_name,
    pictures_in,
)

CLASSES = (*OBJECTS, *BACKGROUNDS)
_COLOURS = {
    "coin": "255 200 0",
    "cup": "230 25 75",
    "horse": "145 30 180",
    "rocket": "0 110 255",
    "brick": "170 110 40",
    "grass": "60 180 75",
    "gravel": "128 128 128",
    "stars": "0 0 90",
    "tissue": "250 150 190",
    "moon": "0 190 190",
}


def main(config: Scenes, console: Console) -> int:
    """Write the pictures and the label maps of both splits."""
    names = config.output / "classes.txt"
    check_new("output", names, overwrite=config.overwrite)
    config.check_pictures("images", "labels")
    config.output.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        write_split(config, split, console=console)
    lines = (f"{i} {name} {_COLOURS[name]}\n" for i, name in enumerate(CLASSES))
    names.write_text("".join(lines))
    print_line(console, f"{config.train} + {config.val} pictures: {config.output}")
    return 0


def write_split(config: Scenes, split: ScenesSplit, *, console: Console) -> None:
    """Write the pictures and the label maps of one split, without those of before."""
    images, labels = (config.output / split / kind for kind in ("images", "labels"))
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
        for old in pictures_in(folder):
            old.unlink()
    for number, scene in enumerate(config.compose(split, console), 1):
        name = picture_name(number)
        scene.picture.save(images / name)
        Image.fromarray(label_map_of(scene)).save(labels / name)


def label_map_of(scene: Scene) -> UInt8[np.ndarray, "h w"]:
    """Return the index of the class of each pixel, in `CLASSES`."""
    width, height = scene.picture.size
    background = len(OBJECTS) + scene.background
    labels = np.full((height, width), background, np.uint8)
    for scene_object in scene.objects:
        labels[scene_object.mask] = scene_object.label
    return labels


if __name__ == "__main__":
    output = pathlib.Path("runs/segmentation_scenes")
    run(main, Scenes(output=output), doc=__doc__)
