"""Evaluation of a trained network and of classic fills on a test set."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import numpy as np
from jaxtyping import Float32
from rich.console import Console
from rich.table import Table

from carafe_jax.arguments import (
    check,
    check_between_0_and_1,
    check_count,
    check_fractions,
    check_positive,
)
from carafe_jax.data import FreeFormHoles, TestSplit
from carafe_jax.data.sources.opening import name_of_source
from carafe_jax.tasks.data_fields import on_test_set
from carafe_jax.tasks.evaluation_provenance import write_evaluation_provenance
from carafe_jax.tasks.inpainting.classic_fills import (
    CLASSIC_FILLS,
    ClassicFill,
    ClassicMethod,
)
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    InpaintingDataset,
)
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.hole_kinds import (
    TITLES,
    HoleKind,
    boxes,
    thin_strokes,
    with_each_kind,
)
from carafe_jax.tasks.inpainting.loading import load
from carafe_jax.tasks.inpainting.measuring import draw_fills, measure_fills
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from carafe_jax.tasks.inpainting.prediction import TrainedInpainter
from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.tasks.inpainting.quality_by_hole import (
    Measured,
    write_images,
    write_means,
)
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.opencv import INSTALL_OPENCV, has_opencv
from carafe_jax.tasks.tables import draw_table
from carafe_jax.texts import counted
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Test images of an inpainting run, and classic fills to compare with."""

    test_split: TestSplit | None = None
    """Split to evaluate on, as `data.test_split` of a run. None: that of the run; of
    another source, the first of val, validation and test that it has."""
    crop_size: int | None = None
    """Side of the test crops, in pixels. None: that of the run."""
    test_photographs: int | None = None
    """Number of photographs, spread evenly over all of them. None: as in the run."""
    test_crops: int | None = None
    """Crops per photograph. None: as in the run."""
    test_seed: int | None = None
    """Seed of the crops and the holes. None: that of the run, which gives the run's own
    test set."""
    holes: tuple[HoleKind, ...] = ("free-form", "boxes", "strokes")
    """Kinds of holes, each measured separately: "free-form", those of the run; "boxes",
    one box per crop, about as large as an object; "strokes", one or two thin brush
    strokes."""
    box_height: tuple[float, float] = (1 / 5, 1 / 3)
    """Smallest and largest height of a box, as fractions of the crop's side."""
    box_width: tuple[float, float] = (1 / 5, 1 / 3)
    """Smallest and largest width of a box, as fractions of the crop's side."""
    stroke_width: float = 0.04
    """Width of the thin strokes, as a fraction of the crop's side."""
    classic: tuple[ClassicMethod, ...] = get_args(ClassicMethod)
    """Classic fills to compare with; telea and navier-stokes are used if OpenCV is
    installed."""
    radius: float = 5.0
    """Radius of the neighbourhood that OpenCV's fills use, in pixels."""
    sample_rows: int = 3
    """Rows of samples.png for each kind of hole, one test crop each."""

    def __post_init__(self) -> None:
        _check_names("holes", self.holes, HoleKind)
        _check_names("classic", self.classic, ClassicMethod)
        check("holes", self.holes, "name a kind of hole", holds=bool(self.holes))
        check_fractions("box_height", self.box_height)
        check_fractions("box_width", self.box_width)
        rule = "be below 1 where `box_width` is up to 1, to leave pixels to fill from"
        holds = min(self.box_height[1], self.box_width[1]) < 1
        check("box_height", self.box_height, rule, holds=holds)
        check_between_0_and_1("stroke_width", self.stroke_width)
        check_positive("radius", self.radius)
        check_count("sample_rows", self.sample_rows)

    def applied_to(self, data: InpaintingData, source: str | None) -> InpaintingData:
        """Return a run's data with these options applied.

        Args:
          data: Data of the run.
          source: Source that replaces the run's. None: the run's.

        Returns:
          The data, in which `source` and the options that are not None replace the
          run's values; another source has a test set of its own.
        """
        data = on_test_set(data, source=source, test_split=self.test_split)
        names = ("crop_size", "test_photographs", "test_crops", "test_seed")
        values = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.replace(data, **given)

    def kinds(self, own: FreeFormHoles) -> dict[HoleKind, FreeFormHoles]:
        """Return the parameters of the kinds of holes in `holes`.

        Args:
          own: Parameters of "free-form".
        """
        known: dict[HoleKind, FreeFormHoles] = {
            "free-form": own,
            "boxes": boxes(height=self.box_height, width=self.box_width),
            "strokes": thin_strokes(width=self.stroke_width),
        }
        return {kind: known[kind] for kind in self.holes}


def _check_names(field: str, names: tuple[str, ...], choices: Any) -> None:
    known = get_args(choices)
    rule = f"be names of {', '.join(map(repr, known))}"
    check(field, names, rule, holds=set(names) <= {*known})


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
    """Fill every test crop by every method; print and write the quality.

    Args:
      model: Folder of the run that trained the network.
      which: Checkpoint of the run: the best or the last.
      source: Source of the photographs. None: that of the run.
      batch_size: Crops per batch.
      output: Folder for quality.csv, images.csv, samples.png and provenance.json.
      options: Test crops and classic fills.
      console: Console for the progress bar and the tables.

    Raises:
      RefusedError: The folder holds no such checkpoint, or the source cannot be used.
    """
    with loading(console, model):
        trained = load(model, which=which)
    data = options.applied_to(trained.data, source)
    examples = InpaintingDataset(data).held_out
    methods = {
        **chosen_fills(options, console),
        trained.name: trained.fill_batches(batch_size=batch_size),
        f"{trained.name}, coarse to fine": functools.partial(_coarse_to_fine, trained),
    }
    tested = with_each_kind(examples, options.kinds(data.masks))
    measured: dict[HoleKind, Measured] = {
        kind: measure_fills(
            some,
            methods,
            batch_size=batch_size,
            console=console,
            description=f"filling: {kind}",
        )
        for kind, some in tested.items()
    }
    output.mkdir(parents=True, exist_ok=True)
    sheet = draw_fills([*tested.values()], methods, rows=options.sample_rows)
    sheet.save(output / "samples.png")
    write_images(output / "images.csv", measured)
    write_means(output / "quality.csv", measured)
    write_evaluation_provenance(
        output,
        step=trained.step,
        data=data,
        radius=options.radius,
        holes={kind: dataclasses.asdict(x.data.masks) for kind, x in tested.items()},
    )
    crops = counted(len(examples), "crop")
    photographs = counted(len(examples.chosen), "test photograph")
    source = name_of_source(data.source)
    title = f"{crops} of {photographs} of {source}, step {trained.step}"
    for table in _tables(measured, title=title):
        console.print(table)
    print_line(console, f"Tables and pictures: {output}")


def _tables(measured: Mapping[HoleKind, Measured], *, title: str) -> Iterator[Table]:
    """Yield a table per kind of hole, and tables by the size of free-form holes."""
    for kind, pictures in measured.items():
        named = f"{TITLES[kind]}: {title}"
        yield draw_table(pictures.means(), COLUMNS, title=named, label="method")
        if kind == "free-form":
            yield pictures.draw_by_hole("hole_psnr")
            yield pictures.draw_by_hole("hole_ssim")


def chosen_fills(options: EvaluationOptions, console: Console) -> dict[str, Fill]:
    """Return the classic fills by title; without OpenCV, leave its fills out."""
    chosen = [CLASSIC_FILLS[name] for name in options.classic]
    if not has_opencv():
        missing = [each.title for each in chosen if each.of_opencv]
        chosen = [each for each in chosen if not each.of_opencv]
        if missing:
            print_line(
                console,
                f"Left out: {', '.join(missing)}. OpenCV is not installed: "
                f"{INSTALL_OPENCV}.",
            )
    return {each.title: _with_radius(each, options.radius) for each in chosen}


def _with_radius(classic: ClassicFill, radius: float) -> Fill:
    if not classic.of_opencv:
        return classic.fill
    return functools.partial(classic.fill, radius=radius)


def _coarse_to_fine(
    trained: TrainedInpainter, batch: InpaintingBatch
) -> Float32[np.ndarray, "n h w 3"]:
    """Fill crops as `TrainedInpainter.fill` does, to 8-bit pixels."""
    photos = to_pixels(batch["image"])
    filled = [
        trained.fill(photo, mask[..., 0] > 0)
        for photo, mask in zip(photos, batch["mask"], strict=True)
    ]
    return np.where(batch["mask"] > 0, from_pixels(np.stack(filled)), batch["image"])
