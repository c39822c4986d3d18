"""Segments photographs with both networks, and writes the sheet."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console

from carafe_jax.data import list_images
from carafe_jax.data.spread import spread
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.data_fields import on_test_set
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.photograph_batches import read_pixels
from carafe_jax.tasks.pictures import check_picture_path
from carafe_jax.tasks.segmentation import SegmentationDataset, TrainedSegmenter, load
from carafe_jax.tasks.segmentation.photographs import read_photograph
from carafe_jax.tasks.segmentation.tiles import draw_tiles
from carafe_jax.tasks.tile_sheet import stack_tiles
from experiments.two_runs import TwoRunsOnSplit, read_photographs


class Example(NamedTuple):
    """A photograph, and its label map where it is known."""

    photograph: UInt8[np.ndarray, "h w 3"]
    truth: UInt8[np.ndarray, "h w"] | None


def write_comparison(
    runs: TwoRunsOnSplit,
    *,
    photographs: Sequence[pathlib.Path],
    rows: int,
    side: int,
    console: Console,
) -> None:
    """Draw the label maps of both networks beside the photographs and the truth.

    Args:
      runs: Both networks, the source, and the path of the picture.
      photographs: Image files and folders, drawn without truth in place of the source.
      rows: Largest number of photographs of the source or of folders.
      side: Longer side of a drawn photograph, in pixels.
      console: Console for progress and the path.

    Raises:
      RefusedError: The output cannot be written, a folder holds no such checkpoint, the
        networks have different classes, the source cannot be used, or no photograph can
        be read.
    """
    check_picture_path("output", runs.output)
    plain, carafe = runs.load(load, console)
    if plain.classes.names != carafe.classes.names:
        raise RefusedError(
            "`plain` must be a run on the classes of `carafe`, got others in "
            f"{str(runs.plain)!r}."
        )
    if photographs:
        examples = read_files(photographs, rows=rows, console=console)
    else:
        data = on_test_set(carafe.data, source=runs.source, test_split=runs.test_split)
        dataset = SegmentationDataset(data, carafe.classes.names)
        examples = read_test_set(dataset, rows=rows, console=console)
    with console.status("segmenting"):
        networks = {"plain up-samplers": plain, "CARAFE++": carafe}
        sheet = draw_sheet(networks, examples, side=side)
    runs.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(runs.output)
    print_line(console, f"Picture: {runs.output}")


def read_files(
    paths: Sequence[pathlib.Path], *, rows: int, console: Console
) -> list[Example]:
    """Return photographs of image files and folders, without truth.

    Args:
      paths: Image files, and folders that are searched for them.
      rows: Largest number of photographs, from all over the files, if there is a folder
        among the paths; otherwise all are read.
      console: Console for a line about each that cannot be read.
    """
    files = [
        file for path in paths for file in list_images(path, argument="photographs")
    ]

    def read(index: int) -> Example:
        return Example(read_pixels(files[index]), None)

    if not any(path.is_dir() for path in paths):
        rows = len(files)
    indices = spread(len(files), rows)
    found = read_photographs(read, indices, argument="photographs", console=console)
    return [*found.values()]


def read_test_set(
    dataset: SegmentationDataset, *, rows: int, console: Console
) -> list[Example]:
    """Return photographs from all over the test set, with their label maps."""
    images = dataset.held_out

    def read(index: int) -> Example:
        return Example(*read_photograph(images, index))

    indices = spread(len(images), rows)
    found = read_photographs(read, indices, argument="source", console=console)
    return [*found.values()]


def draw_sheet(
    segmenters: Mapping[str, TrainedSegmenter],
    examples: Sequence[Example],
    *,
    side: int,
) -> UInt8[np.ndarray, "sh sw 3"]:
    """Return a sheet with a row for each photograph.

    From left to right: the photograph, the truth if it is known, the label map of each
    network, and the classes in the row.

    Args:
      segmenters: Networks with the same classes, by the titles of their columns.
      examples: Photographs, all with truth or all without.
      side: Longer side of a drawn photograph, in pixels.
    """
    classes = next(iter(segmenters.values())).classes
    drawn: list[list[Image.Image]] = []
    for photograph, truth in examples:
        found = [x.segment(photograph).labels for x in segmenters.values()]
        maps = found if truth is None else [truth, *found]
        drawn.append(draw_tiles(photograph, maps, classes=classes, side=side))
    truth = () if examples[0].truth is None else ("truth",)
    titles = ("photograph", *truth, *segmenters, "classes")
    return stack_tiles(drawn, titles=titles)
