"""Compose pictures of coins, cups, horses and rockets as a COCO data set.

Cost: seconds. Nothing is downloaded: objects and backgrounds are cut out of
photographs that ship with scikit-image.
Shows: the folder, with train/, val/ and annotations/; some of its pictures are drawn by
carafe-jax check-data FOLDER --task detection
Command: python -m experiments.detection.scenes -o runs/scenes
"""

import json
from typing import Any

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.files import check_new
from carafe_jax.tasks.lines import print_line
from experiments.detection.scenes.records import annotation_of, image_record
from experiments.scenes.cutouts import CLASSES
from experiments.scenes.options import SPLITS, ScenesSplit, picture_name
from experiments.scenes.options import Scenes as Scenes


def main(config: Scenes, console: Console) -> int:
    """Write the pictures and the annotations of both splits."""
    annotations = config.output / "annotations"
    for split in SPLITS:
        file = annotations / f"instances_{split}.json"
        check_new("output", file, overwrite=config.overwrite)
    config.check_pictures(".")
    annotations.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        written = write_split(config, split, console=console)
        file = annotations / f"instances_{split}.json"
        file.write_text(json.dumps(written))
    print_line(console, f"{config.train} + {config.val} pictures: {config.output}")
    return 0


def write_split(
    config: Scenes, split: ScenesSplit, *, console: Console
) -> dict[str, Any]:
    """Write the pictures of one split; return its annotations in COCO's form."""
    folder = config.output / split
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(config.compose(split, console), 1):
        name = picture_name(image_id)
        scene.picture.save(folder / name)
        images.append(image_record(image_id, name, scene.picture.size))
        for scene_object in scene.objects:
            number = len(annotations) + 1
            annotations.append(annotation_of(scene_object, number, image_id))
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    run(main, Scenes(), doc=__doc__)
