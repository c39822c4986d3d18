"""Measuring and drawing the fills of several methods on a test set."""

from collections.abc import Iterable, Iterator, Mapping

import jax
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.data import (
    HeldOutExamples,
    InpaintingTestBatch,
    stack_examples,
)
from carafe_jax.tasks.inpainting.evaluator import readable_samples
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.quality import quality_of_each
from carafe_jax.tasks.inpainting.quality_by_hole import Measured
from carafe_jax.tasks.inpainting.samples import draw_samples


def measure_fills(
    examples: HeldOutExamples,
    methods: Mapping[str, Fill],
    *,
    batch_size: int,
    console: Console,
    description: str = "filling",
) -> Measured:
    """Fill every readable test image by every method, and measure the fills.

    Args:
      examples: Test images with holes.
      methods: Functions that fill batches, by the name of their row.
      batch_size: Images per batch.
      console: Console for the progress bar.
      description: Text before the progress bar.

    Raises:
      RefusedError: None of the images is readable.
    """
    pieces: list[Measured] = []
    for batch in readable_batches(
        examples, batch_size=batch_size, console=console, description=description
    ):
        filled = {name: fill(batch) for name, fill in methods.items()}
        pieces.append(
            Measured(
                hole_fractions=batch["mask"].mean((1, 2, 3)),
                quality={
                    name: jax.tree.map(np.asarray, quality_of_each(images, batch))
                    for name, images in filled.items()
                },
            )
        )
    return Measured.concatenate(pieces)


def readable_batches(
    examples: HeldOutExamples,
    *,
    batch_size: int,
    console: Console,
    description: str = "filling",
) -> Iterator[InpaintingTestBatch]:
    """Yield all readable test images in batches.

    Args:
      examples: Test images with holes.
      batch_size: Images per batch.
      console: Console for the progress bar.
      description: Text before the progress bar.

    Raises:
      RefusedError: None of the images is readable.
    """
    found = False
    starts = range(0, len(examples), batch_size)
    for start in track(starts, description=description, console=console):
        rows = range(start, min(start + batch_size, len(examples)))
        if read := [example for row in rows if (example := examples[row])["valid"]]:
            found = True
            yield stack_examples(read)
    if not found:
        raise RefusedError(
            f"`source` must have readable test images, got none among {len(examples)} "
            f"of {examples.data.source!r}."
        )


def samples_of_each(
    sets: Iterable[HeldOutExamples], *, count: int
) -> InpaintingTestBatch:
    """Return test images spread evenly over each set, in one batch.

    Args:
      sets: Sets of test images of one size.
      count: Images of each set.

    Raises:
      RefusedError: None of the images of a set can be read.
    """
    batches = [readable_samples(one_set, count=count) for one_set in sets]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)


def draw_fills(
    examples: Iterable[HeldOutExamples], methods: Mapping[str, Fill], *, rows: int
) -> Image.Image:
    """Return a sheet of test images spread evenly over each set, and their fills.

    Args:
      examples: Sets of test images of one size.
      methods: Functions that fill batches, by the title of their column.
      rows: Images of each set.
    """
    some = samples_of_each(examples, count=rows)
    fills = {name: fill(some) for name, fill in methods.items()}
    return draw_samples(some, fills=fills)
