"""Measures the fills of a trained network beside classic ones, over a test set."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float32
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.text import Text

from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.tasks.inpainting import classic_fills
from carafe_jax.tasks.inpainting.data import (
    HeldOutExamples,
    InpaintingBatch,
    InpaintingData,
    InpaintingTestBatch,
    open_held_out_examples,
    stack_examples,
)
from carafe_jax.tasks.inpainting.evaluator import (
    FillEvaluator,
    quality_of_each,
    spread,
)
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from carafe_jax.tasks.inpainting.prediction import Fill, TrainedInpainter
from carafe_jax.tasks.inpainting.quality_by_hole import Measured
from carafe_jax.tasks.inpainting.report import COLUMNS, draw_samples
from carafe_jax.tasks.tables import Results, draw_table
from carafe_jax.train import TrainState, is_first

Classic = Literal["mean colour", "biharmonic", "Telea", "Navier-Stokes"]

_FILLS_OF_OPENCV = {
    "Telea": classic_fills.telea,
    "Navier-Stokes": classic_fills.navier_stokes,
}
_FILLS = {
    "mean colour": classic_fills.mean_colour,
    "biharmonic": classic_fills.biharmonic,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class InpaintingTest:
    """Test pictures of an inpainting run, and what its network is compared with."""

    crop_size: int | None = None
    """Side of the test pictures, in pixels. None: that of the run."""
    test_photographs: int | None = None
    """Photographs to use, spread over all of them. None: as many as the run."""
    test_crops: int | None = None
    """Pictures that are cut from each photograph. None: as many as in the run."""
    test_seed: int | None = None
    """Of the crops and the holes. None: that of the run, so with its test set."""
    classic: tuple[Classic, ...] = (
        "mean colour",
        "biharmonic",
        "Telea",
        "Navier-Stokes",
    )
    """Fills without training to compare with; the last two are OpenCV's."""
    radius: float = 5.0
    """Of the neighbourhood that OpenCV's fills use, in pixels."""
    sample_rows: int = 6
    """Pictures in samples.png."""

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise RefusedError(f"`radius` must be positive, got {self.radius}.")
        if self.sample_rows < 1:
            raise RefusedError(
                f"`sample_rows` must be positive, got {self.sample_rows}."
            )

    def of(self, data: InpaintingData, source: str | None) -> InpaintingData:
        """Return a run's data with what is given here in the place of its values."""
        names = ("crop_size", "test_photographs", "test_crops", "test_seed")
        values = {"source": source, **{name: getattr(self, name) for name in names}}
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(data, **given)


def evaluate(
    trained: TrainedInpainter,
    *,
    source: str | None,
    batch_size: int,
    output: pathlib.Path,
    options: InpaintingTest,
    console: Console,
) -> int:
    """Fill every test picture by every method; print and write what was measured.

    Args:
      trained: The network.
      source: Where photographs come from; None: those of the run.
      batch_size: Pictures at a time.
      output: Folder of quality.csv, images.csv, samples.png and provenance.json.
      options: Test pictures and classic fills.
      console: Where bar and tables are drawn.

    Returns:
      The exit status, 0.
    """
    data = options.of(trained.data, source)
    examples = open_held_out_examples(data)
    methods = _methods(trained, batch_size, options, console)
    measured = measure_fills(examples, methods, batch_size=batch_size, console=console)
    output.mkdir(parents=True, exist_ok=True)
    sheet = draw_fills(examples, methods, rows=options.sample_rows)
    sheet.save(output / "samples.png")
    measured.write_images(output / "images.csv")
    measured.write_means(output / "quality.csv")
    provenance = {
        "step": trained.step,
        "data": dataclasses.asdict(data),
        "radius": options.radius,
        **dataclasses.asdict(describe_machine()),
    }
    text = json.dumps(provenance, indent=2) + "\n"
    (output / "provenance.json").write_text(text)
    title = f"{len(examples)} test pictures of {data.source}, step {trained.step}"
    console.print(draw_table(measured.means(), COLUMNS, title=title, label="method"))
    console.print(measured.draw_by_hole())
    console.print(Text(f"Tables and pictures: {output}"), soft_wrap=True)
    return 0


def report_fills(
    evaluator: FillEvaluator,
    state: TrainState,
    *,
    data: InpaintingData,
    network_name: str,
    rows: int,
    workdir: pathlib.Path,
    console: Console,
) -> Results:
    """Measure a trained network and two classic fills; draw samples.png.

    Every process calls it: the network is measured by all, the rest by the first.
    """
    numbers = evaluator.evaluate(state)
    samples = evaluator.samples(state, count=rows)
    if not is_first():
        return {}
    truth = InpaintingBatch(image=samples["image"], mask=samples["mask"])
    sheet = draw_samples(
        truth,
        fills={
            "biharmonic": classic_fills.biharmonic(truth),
            network_name: samples["filled"],
        },
    )
    sheet.save(workdir / "samples.png")
    measured = measure_fills(
        open_held_out_examples(data),
        _FILLS,
        batch_size=data.batch_size,
        console=console,
    )
    return {**measured.means(), network_name: numbers}


def measure_fills(
    examples: HeldOutExamples,
    methods: Mapping[str, Fill],
    *,
    batch_size: int,
    console: Console,
) -> Measured:
    """Fill and measure every test picture that can be read, batch by batch.

    Args:
      examples: Test pictures with holes.
      methods: Fills of batches, by the name of their row.
      batch_size: Pictures at a time.
      console: Where the progress bar is drawn.

    Raises:
      RefusedError: None of the pictures can be read.
    """
    pieces: list[Measured] = []
    starts = range(0, len(examples), batch_size)
    for start in track(starts, description="filling", console=console):
        batch = _readable(
            examples, range(start, min(start + batch_size, len(examples)))
        )
        if batch is None:
            continue
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
    if not pieces:
        raise RefusedError(
            "`source` must hold test pictures that can be read, got "
            f"{examples.data.source!r}."
        )
    return Measured.concatenate(pieces)


def draw_fills(
    examples: HeldOutExamples, methods: Mapping[str, Fill], *, rows: int
) -> Image.Image:
    """Return a sheet of test pictures from all over the set, and their fills."""
    spread_out = spread(len(examples), count=rows).tolist()
    some = _readable(examples, spread_out)
    if some is None:
        raise RefusedError(
            f"`sample_rows` must reach a picture that can be read, got {rows}."
        )
    return draw_samples(
        some, fills={name: fill(some) for name, fill in methods.items()}
    )


def _readable(
    examples: HeldOutExamples, rows: Iterable[int]
) -> InpaintingTestBatch | None:
    """Return the examples of these rows that can be read; None where none can."""
    read = [example for row in rows if (example := examples[row])["valid"]]
    return stack_examples(read) if read else None


def _methods(
    trained: TrainedInpainter,
    batch_size: int,
    options: InpaintingTest,
    console: Console,
) -> dict[str, Fill]:
    """Return the fills, the network's last; without OpenCV, leave out its fills.

    The network fills each picture at once, as in its training, and from coarse to fine,
    as photographs of any size.
    """
    chosen = dict.fromkeys(options.classic)
    missing = [name for name in chosen if name in _FILLS_OF_OPENCV]
    if missing and importlib.util.find_spec("cv2") is None:
        console.print(
            f"Left out: {', '.join(missing)}. They need OpenCV: "
            "pip install 'carafe-jax[opencv]'.",
            markup=False,
        )
        chosen = {name: None for name in chosen if name not in missing}
    known: dict[str, Fill] = {
        **_FILLS,
        **{
            name: functools.partial(fill, radius=options.radius)
            for name, fill in _FILLS_OF_OPENCV.items()
        },
    }
    return {
        **{name: known[name] for name in chosen},
        trained.name: trained.fill_batches(batch_size=batch_size),
        f"{trained.name}, coarse to fine": functools.partial(_coarse_to_fine, trained),
    }


def _coarse_to_fine(
    trained: TrainedInpainter, batch: InpaintingBatch
) -> Float32[np.ndarray, "n h w 3"]:
    """Fill as photographs of any size are filled, to 8-bit pixels."""
    photos = to_pixels(batch["image"])
    filled = [
        trained.fill(photo, mask[..., 0] > 0, longest_side=max(mask.shape))
        for photo, mask in zip(photos, batch["mask"], strict=True)
    ]
    return np.where(batch["mask"] > 0, from_pixels(np.stack(filled)), batch["image"])
