"""Draws the sheet: rows of test pictures, columns of fills."""

from collections.abc import Mapping, Sequence

from PIL import Image
from rich.console import Console

from carafe_jax.data.spread import spread
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.data import (
    HeldOutExamples,
    InpaintingTestBatch,
    stack_examples,
)
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.measuring import measure_fills
from carafe_jax.tasks.inpainting.quality import quality_of_each
from carafe_jax.tasks.inpainting.quality_by_hole import Measured
from carafe_jax.tasks.inpainting.samples import draw_samples


def best_fill(
    sets: Sequence[HeldOutExamples],
    methods: Mapping[str, Fill],
    *,
    batch_size: int,
    console: Console,
) -> str:
    """Return the name of the method with the highest mean PSNR of the hole.

    Args:
      sets: The same pictures with holes of several kinds; the mean is over all.
      methods: Fills, by their names.
      batch_size: Pictures at a time.
      console: Where the progress bars are drawn.

    Raises:
      RefusedError: None of the pictures can be read.
    """
    measured = [
        measure_fills(examples, methods, batch_size=batch_size, console=console)
        for examples in sets
    ]
    means = Measured.concatenate(measured).means()
    return max(means, key=lambda name: means[name]["hole_psnr"])


def different_pictures(
    sets: Sequence[HeldOutExamples], *, of_each: int
) -> InpaintingTestBatch:
    """Return different pictures from all over a test set; kinds of holes take turns.

    Args:
      sets: The same pictures with holes of several kinds.
      of_each: Pictures of each kind; fewer where the test set has not so many.

    Raises:
      RefusedError: None of them can be read.
    """
    rows = spread(len(sets[0]), of_each * len(sets))
    kinds = (sets[place % len(sets)] for place in range(len(rows)))
    chosen = (some[row] for some, row in zip(kinds, rows, strict=True))
    read = [example for example in chosen if example["valid"]]
    if not read:
        raise RefusedError(
            "`source` must hold test pictures that can be read, got "
            f"{sets[0].data.source!r}, where none of {len(rows)} can."
        )
    return stack_examples(read)


def draw_sheet(
    truth: InpaintingTestBatch, methods: Mapping[str, Fill], *, scale: int
) -> Image.Image:
    """Return a sheet of fills, each with the PSNR of its hole below it.

    Args:
      truth: Test pictures with holes.
      methods: Fills, by the title of their column.
      scale: Pixels of the sheet per pixel of a picture, along each side.
    """
    fills = {name: fill(truth) for name, fill in methods.items()}
    captions = {
        name: [f"{psnr:.1f} dB" for psnr in quality_of_each(filled, truth)["hole_psnr"]]
        for name, filled in fills.items()
    }
    side = scale * truth["image"].shape[1]
    return draw_samples(truth, fills=fills, side=side, captions=captions)
