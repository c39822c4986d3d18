"""Measures the fills of a trained network beside classic ones, over a test set."""

import dataclasses
import functools
import importlib.util
import pathlib
from typing import Literal

import numpy as np
from jaxtyping import Float32
from rich.console import Console

from carafe_jax.arguments import check_count, check_positive
from carafe_jax.tasks.evaluation_provenance import write_evaluation_provenance
from carafe_jax.tasks.inpainting import classic_fills
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    InpaintingDataset,
)
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.loading import load
from carafe_jax.tasks.inpainting.measuring import draw_fills, measure_fills
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from carafe_jax.tasks.inpainting.prediction import TrainedInpainter
from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.tables import draw_table
from carafe_jax.texts import counted
from carafe_jax.train import CheckpointChoice

Classic = Literal["mean_colour", "biharmonic", "telea", "navier_stokes"]

_TITLES: dict[Classic, str] = {
    "mean_colour": "mean colour",
    "biharmonic": "biharmonic",
    "telea": "Telea",
    "navier_stokes": "Navier-Stokes",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Test pictures of an inpainting run, and what its network is compared with."""

    crop_size: int | None = None
    """Side of the test pictures, in pixels. None: that of the run."""
    test_photographs: int | None = None
    """Photographs to use, spread over all of them. None: as many as the run."""
    test_crops: int | None = None
    """Pictures that are cut from each photograph. None: as many as in the run."""
    test_seed: int | None = None
    """Seed of the crops and the holes. None: that of the run, so with its test set."""
    classic: tuple[Classic, ...] = (
        "mean_colour",
        "biharmonic",
        "telea",
        "navier_stokes",
    )
    """Fills without training to compare with; the last two are OpenCV's."""
    radius: float = 5.0
    """Radius of the neighbourhood that OpenCV's fills use, in pixels."""
    sample_rows: int = 6
    """Pictures in samples.png."""

    def __post_init__(self) -> None:
        check_positive("radius", self.radius)
        check_count("sample_rows", self.sample_rows)

    def applied_to(self, data: InpaintingData, source: str | None) -> InpaintingData:
        """Return a run's data with what is given here in the place of its values."""
        names = ("crop_size", "test_photographs", "test_crops", "test_seed")
        values = {"source": source, **{name: getattr(self, name) for name in names}}
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(data, **given)


def evaluate(
    model: pathlib.Path,
    *,
    which: CheckpointChoice,
    source: str | None,
    batch_size: int,
    output: pathlib.Path,
    options: EvaluationOptions,
    console: Console,
) -> None:
    """Fill every test picture by every method; print and write what was measured.

    Args:
      model: Folder of the run that trained the network.
      which: Its checkpoint.
      source: Where photographs come from; None: those of the run.
      batch_size: Pictures at a time.
      output: Folder of quality.csv, images.csv, samples.png and provenance.json.
      options: Test pictures and classic fills.
      console: Where bar and tables are drawn.

    Raises:
      RefusedError: The folder holds no such checkpoint, or the source cannot be used.
    """
    with loading(console, model):
        trained = load(model, which=which)
    data = options.applied_to(trained.data, source)
    examples = InpaintingDataset(data).held_out
    methods = {
        **_classic_fills(options, console),
        trained.name: trained.fill_batches(batch_size=batch_size),
        f"{trained.name}, coarse to fine": functools.partial(_coarse_to_fine, trained),
    }
    measured = measure_fills(examples, methods, batch_size=batch_size, console=console)
    output.mkdir(parents=True, exist_ok=True)
    sheet = draw_fills(examples, methods, rows=options.sample_rows)
    sheet.save(output / "samples.png")
    measured.write_images(output / "images.csv")
    measured.write_means(output / "quality.csv")
    write_evaluation_provenance(
        output, step=trained.step, data=data, radius=options.radius
    )
    crops = counted(len(examples), "crop")
    photographs = counted(len(examples.chosen), "test photograph")
    title = f"{crops} of {photographs} of {data.source}, step {trained.step}"
    console.print(draw_table(measured.means(), COLUMNS, title=title, label="method"))
    console.print(measured.draw_by_hole())
    print_line(console, f"Tables and pictures: {output}")


def _classic_fills(options: EvaluationOptions, console: Console) -> dict[str, Fill]:
    """Return the classic fills by their titles; without OpenCV, leave out its fills."""
    known: dict[Classic, Fill] = {
        "mean_colour": classic_fills.mean_colour,
        "biharmonic": classic_fills.biharmonic,
    }
    if importlib.util.find_spec("cv2") is not None:
        radius = options.radius
        known["telea"] = functools.partial(classic_fills.telea, radius=radius)
        known["navier_stokes"] = functools.partial(
            classic_fills.navier_stokes, radius=radius
        )
    if missing := [_TITLES[name] for name in options.classic if name not in known]:
        print_line(
            console,
            f"Left out: {', '.join(missing)}. They need OpenCV: "
            "pip install 'carafe-jax[opencv]'.",
        )
    return {_TITLES[name]: known[name] for name in options.classic if name in known}


def _coarse_to_fine(
    trained: TrainedInpainter, batch: InpaintingBatch
) -> Float32[np.ndarray, "n h w 3"]:
    """Fill as photographs of any size are filled, to 8-bit pixels."""
    photos = to_pixels(batch["image"])
    filled = [
        trained.fill(photo, mask[..., 0] > 0)
        for photo, mask in zip(photos, batch["mask"], strict=True)
    ]
    return np.where(batch["mask"] > 0, from_pixels(np.stack(filled)), batch["image"])
