"""Compose pictures of coins, cups, horses and rockets as a COCO data set.

Cost: seconds. Nothing is downloaded: objects and backgrounds are cut out of
photographs that ship with scikit-image.
Shows: the folder, with train/, val/ and annotations/; its first pictures are drawn by
carafe-jax check-data FOLDER --task detection
Command: python -m experiments.detection.scenes -o runs/scenes
"""

import dataclasses
import json
import pathlib
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from carafe_jax.arguments import check, check_count, check_seed
from carafe_jax.cli.console import run
from carafe_jax.files import check_new
from carafe_jax.tasks.lines import print_line
from experiments.detection.scenes.composition import compose, load_backgrounds
from experiments.detection.scenes.cutouts import CLASSES, make_cutouts
from experiments.detection.scenes.records import annotation_of, image_record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenes:
    """Number and size of the pictures."""

    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))] = pathlib.Path(
        "runs/scenes"
    )
    """Folder to write."""
    train: int = 400
    """Pictures to train on."""
    val: int = 40
    """Pictures to test on."""
    width: int = 256
    """Columns of a picture, in pixels."""
    height: int = 192
    """Rows of a picture, in pixels."""
    objects: tuple[int, int] = (1, 6)
    """Smallest and largest number of objects to place on a picture."""
    seed: int = 0
    """Seed of all random choices."""
    overwrite: bool = False
    """Write into a folder that has such pictures, which is an error otherwise."""

    def __post_init__(self) -> None:
        for name in ("train", "val", "width", "height"):
            check_count(name, getattr(self, name))
        check_seed("seed", self.seed)
        low, high = self.objects
        rule = "be two numbers 1 <= low <= high"
        check("objects", self.objects, rule, holds=1 <= low <= high)


def main(config: Scenes, console: Console) -> int:
    """Write the pictures and the annotations of both splits."""
    annotations = config.output / "annotations"
    for split in ("train", "val"):
        file = annotations / f"instances_{split}.json"
        check_new("output", file, overwrite=config.overwrite)
    annotations.mkdir(parents=True, exist_ok=True)
    for index, split in enumerate(("train", "val")):
        written = write_split(config, split, seed=(config.seed, index), console=console)
        file = annotations / f"instances_{split}.json"
        file.write_text(json.dumps(written))
    print_line(console, f"{config.train} + {config.val} pictures: {config.output}")
    return 0


def write_split(
    config: Scenes, split: str, *, seed: tuple[int, int], console: Console
) -> dict[str, Any]:
    """Write the pictures of one split; return its annotations in COCO's form."""
    folder = config.output / split
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    cutouts = [
        [x for x in make_cutouts() if x.label == label] for label in range(len(CLASSES))
    ]
    backgrounds = load_backgrounds()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers = range(1, getattr(config, split) + 1)
    for image_id in track(numbers, f"composing {split}", console=console):
        low, high = config.objects
        scene, objects = compose(
            rng,
            cutouts,
            backgrounds,
            size=(config.width, config.height),
            count=int(rng.integers(low, high + 1)),
        )
        name = f"{image_id:05d}.png"
        scene.save(folder / name)
        images.append(image_record(image_id, name, scene.size))
        for scene_object in objects:
            number = len(annotations) + 1
            annotations.append(annotation_of(scene_object, number, image_id))
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    run(main, Scenes(), doc=__doc__)
