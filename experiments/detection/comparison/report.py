"""Loads both detectors, and writes the pictures."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console

from carafe_jax.arguments import check
from carafe_jax.data import AnnotatedImages
from carafe_jax.data.spread import spread
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new
from carafe_jax.tasks.data_fields import on_test_set
from carafe_jax.tasks.detection import PhotographDetections, load
from carafe_jax.tasks.detection.data import DetectionDataset
from carafe_jax.tasks.detection.photographs import read_photograph
from carafe_jax.tasks.detection.tiles import (
    DrawnObjects,
    draw_tile,
    true_objects,
)
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.tile_sheet import stack_tiles
from experiments.detection.comparison.pyramids import activation_maps, draw_pyramids
from experiments.two_runs import TwoRunsOnSplit, read_photographs

_DETECTIONS, _PYRAMIDS = "detections.png", "pyramids.png"


def write_comparison(
    runs: TwoRunsOnSplit,
    *,
    photographs: Sequence[str],
    rows: int,
    score_threshold: float,
    side: int,
    console: Console,
) -> None:
    """Draw detections by both networks beside the truth, and their feature pyramids.

    Args:
      runs: Both networks, the source, and the folder of the pictures.
      photographs: File names, as for `choose`.
      rows: Number of photographs, as for `choose`.
      score_threshold: Score above which detections are drawn.
      side: Longer side of a photograph among its detections, in pixels.
      console: Console for progress and the paths.

    Raises:
      RefusedError: The output cannot be written, a folder holds no such checkpoint, the
        source cannot be used, or the photographs are not in it.
    """
    for name in (_DETECTIONS, _PYRAMIDS):
        check_new("output", runs.output / name, overwrite=True)
    plain, carafe = runs.load(load, console)
    detectors = {
        name: network.with_limits(score_threshold=score_threshold, max_detections=100)
        for name, network in {"plain up-samplers": plain, "CARAFE++": carafe}.items()
    }
    data = on_test_set(carafe.data, source=runs.source, test_split=runs.test_split)
    images = DetectionDataset(data, masks=False).held_out
    chosen = read_photographs(
        functools.partial(read_photograph, images),
        choose(images, photographs, rows=rows),
        argument="photographs" if photographs else "source",
        console=console,
    )
    with console.status("detecting"):
        found = {
            name: [detector.detect(x) for x in chosen.values()]
            for name, detector in detectors.items()
        }
    runs.output.mkdir(parents=True, exist_ok=True)
    sheet = draw_sheet(images, chosen, found, side=side)
    Image.fromarray(sheet).save(runs.output / _DETECTIONS)
    with console.status("drawing feature pyramids"):
        maps = {
            name: activation_maps(detector, list(chosen.values()))
            for name, detector in detectors.items()
        }
        pictures = {name: list(chosen.values()) for name in detectors}
        draw_pyramids(pictures, maps).savefig(runs.output / _PYRAMIDS, dpi=100)
    paths = f"{runs.output / _DETECTIONS}, {runs.output / _PYRAMIDS}"
    print_line(console, f"Pictures: {paths}")


def choose(images: AnnotatedImages, names: Sequence[str], *, rows: int) -> list[int]:
    """Return the indices of photographs by their names.

    Args:
      images: Test set.
      names: Names of photographs. Empty: some with objects, from all over the set.
      rows: Number of photographs where no names are given.

    Raises:
      RefusedError: A name is not in the set, or no photograph has objects.
    """
    indices = {images.name(index): index for index in range(len(images))}
    for name in names:
        rule = "be names of test photographs"
        check("photographs", name, rule, holds=name in indices)
    if names:
        return [indices[name] for name in names]
    filled = [x for x in indices.values() if _has_objects(images, x)]
    if not filled:
        raise RefusedError(
            "`source` must have test photographs with objects, got none in "
            f"{len(images)}."
        )
    return [filled[place] for place in spread(len(filled), rows)]


def draw_sheet(
    images: AnnotatedImages,
    photographs: Mapping[int, UInt8[np.ndarray, "h w 3"]],
    found: Mapping[str, Sequence[PhotographDetections]],
    *,
    side: int,
) -> UInt8[np.ndarray, "sh sw 3"]:
    """Return a sheet with a row for each photograph: detections, and the truth.

    Args:
      images: Test set.
      photographs: Photographs by their index in the test set.
      found: Detections in each photograph, by the title of their column.
      side: Longer side of a drawn photograph, in pixels.
    """
    names = (x for detected in found.values() for each in detected for x in each.names)
    classes = tuple(dict.fromkeys((*images.classes, *sorted({*names}))))
    rows = [
        [
            draw_tile(photograph, objects, classes=classes, side=side)
            for objects in (
                *(_objects(detected[row]) for detected in found.values()),
                true_objects(images, index),
            )
        ]
        for row, (index, photograph) in enumerate(photographs.items())
    ]
    return stack_tiles(rows, titles=(*found, "truth"))


def _objects(found: PhotographDetections) -> DrawnObjects:
    return DrawnObjects(
        found.boxes, found.names, scores=found.scores, masks=found.encoded_masks
    )


def _has_objects(images: AnnotatedImages, index: int) -> bool:
    return not images.objects(index, masks=False).crowd.all()
