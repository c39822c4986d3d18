"""Measure the fills of a trained network beside classic ones, over a whole test set.

Paper: the measures of table X of CARAFE++ (arXiv:2012.04733), and SSIM.
Cost: on two cores, seconds for hundreds of pictures of 64 px, a minute at 192 px.
Shows: tables of L1, PSNR and SSIM, over all pictures and by the size of the hole;
quality.csv, images.csv and samples.png in the folder `evaluation` of the run.
Command: python -m experiments.inpainting.evaluate --workdir RUN
Other pictures: add --source FOLDER --output FOLDER
"""

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float32
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.text import Text

from carafe_jax.data import (
    HeldOut,
    InpaintingBatch,
    InpaintingData,
    open_held_out,
    stack_examples,
)
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.train import Which, run
from experiments.inpainting import fills, report
from experiments.inpainting.coarse_to_fine import Fill, fill_photograph, reach_of
from experiments.inpainting.hole_shares import Measured
from experiments.inpainting.pixels import from_pixels, to_pixels
from experiments.inpainting.task import Filler, quality_of_each, spread
from experiments.inpainting.trained import Trained, load

Classic = Literal["mean colour", "biharmonic", "Telea", "Navier-Stokes"]

_FILLS_OF_OPENCV = {"Telea": fills.telea, "Navier-Stokes": fills.navier_stokes}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A checkpoint, and pictures that it has not seen."""

    workdir: pathlib.Path
    """Folder of the run."""
    checkpoint: Which = "best"
    """The best by PSNR in the hole, or the last."""
    source: str | None = None
    """"builtin", the path of a folder of images, or "tfds:NAME"; its test part is used.
    None: that of the run."""
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
    """Of the neighbourhood that OpenCV's fills look at, in pixels."""
    batch_size: int = 8
    """Pictures at a time."""
    output: pathlib.Path | None = None
    """Folder of what is written. None: `evaluation` in the folder of the run."""
    sample_rows: int = 6
    """Pictures in samples.png."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "radius"):
            if not getattr(self, name) > 0:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )


def main(config: Evaluation, console: Console) -> int:
    """Fill every test picture with every method; print and write what came of it."""
    trained = load(config.workdir, which=config.checkpoint)
    data = _test_data(config, trained.data)
    examples = open_held_out(data)
    methods = _methods(config, trained, console)
    measured, sheet = _measure(config, examples, methods, console)
    output = config.output or config.workdir / "evaluation"
    output.mkdir(parents=True, exist_ok=True)
    sheet.save(output / "samples.png")
    measured.write_images(output / "images.csv")
    measured.write_means(output / "quality.csv")
    provenance = {
        "step": trained.step,
        "data": dataclasses.asdict(data),
        "radius": config.radius,
        **dataclasses.asdict(describe_machine()),
    }
    report.write_provenance(output / "provenance.json", provenance)
    title = f"{len(examples)} test pictures of {data.source}, step {trained.step}"
    console.print(report.draw_table(measured.means(), title=title))
    console.print(measured.draw_by_share())
    console.print(Text(f"Tables and pictures: {output}"))
    return 0


def _test_data(config: Evaluation, data: InpaintingData) -> InpaintingData:
    """Put what was asked for in the place of the run's own values."""
    names = ("source", "crop_size", "test_photographs", "test_crops", "test_seed")
    values = {name: getattr(config, name) for name in names}
    return dataclasses.replace(
        data, **{name: value for name, value in values.items() if value is not None}
    )


def _methods(config: Evaluation, trained: Trained, console: Console) -> dict[str, Fill]:
    """Choose the fills, the network's last; without OpenCV, leave out its fills.

    The network fills each picture at once, as in its training, and from coarse to fine,
    as photographs of any size.
    """
    chosen = dict.fromkeys(config.classic)
    missing = [name for name in chosen if name in _FILLS_OF_OPENCV]
    if missing and importlib.util.find_spec("cv2") is None:
        console.print(
            f"Left out: {', '.join(missing)}. They need OpenCV: "
            "pip install 'carafe-jax[opencv]'.",
            markup=False,
        )
        chosen = {name: None for name in chosen if name not in missing}
    known: dict[str, Fill] = {
        "mean colour": fills.mean_colour,
        "biharmonic": fills.biharmonic,
        **{
            name: functools.partial(fill, radius=config.radius)
            for name, fill in _FILLS_OF_OPENCV.items()
        },
    }
    methods = {name: known[name] for name in chosen}
    filler = Filler(trained.network, batch_size=config.batch_size)
    fill = functools.partial(filler, trained.variables)
    reach = reach_of(trained.data)
    coarse_to_fine = functools.partial(_coarse_to_fine, fill=fill, reach=reach)
    return {
        **methods,
        trained.name: fill,
        f"{trained.name}, coarse to fine": coarse_to_fine,
    }


def _coarse_to_fine(
    batch: InpaintingBatch, *, fill: Fill, reach: int
) -> Float32[np.ndarray, "n h w 3"]:
    """Fill as `experiments.inpainting.fill` does, to 8-bit pixels."""
    photos = to_pixels(batch["image"])
    filled = [
        fill_photograph(
            photo,
            mask[..., 0] > 0,
            fill=fill,
            reach=reach,
            longest_side=max(mask.shape),
        )
        for photo, mask in zip(photos, batch["mask"], strict=True)
    ]
    return np.where(batch["mask"] > 0, from_pixels(np.stack(filled)), batch["image"])


def _measure(
    config: Evaluation,
    examples: HeldOut,
    methods: Mapping[str, Fill],
    console: Console,
) -> tuple[Measured, Image.Image]:
    """Fill and measure batch by batch; draw some of what was filled."""
    drawn = set(spread(len(examples), count=config.sample_rows).tolist())
    pieces: list[Measured] = []
    samples: list[InpaintingBatch] = []
    filled_samples: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    starts = range(0, len(examples), config.batch_size)
    for start in track(starts, description="filling", console=console):
        rows = range(start, min(start + config.batch_size, len(examples)))
        batch = stack_examples([examples[row] for row in rows])
        filled = {name: fill(batch) for name, fill in methods.items()}
        pieces.append(
            Measured(
                shares=batch["mask"].mean((1, 2, 3)),
                quality={
                    name: quality_of_each(images, batch)
                    for name, images in filled.items()
                },
            )
        )
        chosen = [row - start for row in rows if row in drawn]
        samples += [jax.tree.map(lambda x, i=i: x[i], batch) for i in chosen]
        for name, images in filled.items():
            filled_samples[name] += [images[i] for i in chosen]
    sheet = report.draw_samples(
        stack_examples(samples),
        fills={name: np.stack(images) for name, images in filled_samples.items()},
    )
    return Measured.concatenate(pieces), sheet


if __name__ == "__main__":
    run(main, Evaluation, doc=__doc__)
