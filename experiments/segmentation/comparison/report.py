"""Segments photographs with both networks, and writes the sheet."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console

from carafe_jax.data import TestSplit, UnreadableImageError, list_images
from carafe_jax.data.spread import spread
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.photograph_batches import read_pixels
from carafe_jax.tasks.pictures import check_picture_path
from carafe_jax.tasks.segmentation import SegmentationDataset, TrainedSegmenter, load
from carafe_jax.tasks.segmentation.photographs import read_photograph
from carafe_jax.tasks.segmentation.tiles import draw_tiles
from carafe_jax.tasks.tile_sheet import stack_tiles
from carafe_jax.train import CheckpointChoice

_PLAIN, _CARAFE = "plain up-samplers", "CARAFE++"


class Example(NamedTuple):
    """A photograph, and its label map where it is known."""

    photograph: UInt8[np.ndarray, "h w 3"]
    truth: UInt8[np.ndarray, "h w"] | None


def write_comparison(
    *,
    carafe: pathlib.Path,
    plain: pathlib.Path,
    which: CheckpointChoice,
    source: str | None,
    test_split: TestSplit | None,
    photographs: Sequence[pathlib.Path],
    rows: int,
    side: int,
    output: pathlib.Path,
    console: Console,
) -> None:
    """Draw the label maps of both networks beside the photographs and the truth.

    Raises:
      RefusedError: The output cannot be written, a folder holds no such checkpoint, the
        networks have different classes, the source cannot be used, or no photograph can
        be read.
    """
    check_picture_path("output", output)
    segmenters: dict[str, TrainedSegmenter] = {}
    for title, run in {_PLAIN: plain, _CARAFE: carafe}.items():
        with loading(console, run):
            segmenters[title] = load(run, which=which)
    known = segmenters[_CARAFE].classes
    if segmenters[_PLAIN].classes.names != known.names:
        raise RefusedError(
            "`plain` must be a run on the classes of `carafe`, got others in "
            f"{str(plain)!r}."
        )
    if photographs:
        examples = read_files(photographs, rows=rows, console=console)
    else:
        data = segmenters[_CARAFE].data.evaluated_on(source, test_split)
        dataset = SegmentationDataset(data, known.names)
        examples = read_test_set(dataset, rows=rows, console=console)
    with console.status("segmenting"):
        sheet = draw_sheet(segmenters, examples, side=side)
    output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(output)
    print_line(console, f"Picture: {output}")


def read_files(
    paths: Sequence[pathlib.Path], *, rows: int, console: Console
) -> list[Example]:
    """Return photographs of image files and folders, without truth.

    Args:
      paths: Image files, and folders that are searched for them.
      rows: Largest number of photographs, from all over the files.
      console: Console for a line about each that cannot be read.
    """
    files = [
        file for path in paths for file in list_images(path, argument="photographs")
    ]

    def read(index: int) -> Example:
        return Example(read_pixels(files[index]), None)

    return _read_some(read, count=len(files), rows=rows, console=console)


def read_test_set(
    dataset: SegmentationDataset, *, rows: int, console: Console
) -> list[Example]:
    """Return photographs from all over the test set, with their label maps."""
    images = dataset.held_out

    def read(index: int) -> Example:
        return Example(*read_photograph(images, index))

    return _read_some(read, count=len(images), rows=rows, console=console)


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


def _read_some(
    read: Callable[[int], Example], *, count: int, rows: int, console: Console
) -> list[Example]:
    examples: list[Example] = []
    for index in spread(count, rows):
        try:
            examples.append(read(index))
        except UnreadableImageError as error:
            print_line(console, f"Left out: {error}")
    if not examples:
        raise RefusedError("At least one photograph must be readable, got none.")
    return examples
