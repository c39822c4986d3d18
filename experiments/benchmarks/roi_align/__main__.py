"""Time RoIAlign of a feature pyramid, by the way in which regions are read.

`windows` is the operator, by default with windows of 32 x 32 cells and blocks of 16
regions. Its rivals have a bound on the samples of a bin: `fixed_windows` reads one
window of each region, large enough for the bound; `cells` gathers the cells of each bin
alone. Both have blocks of 64 regions by default.

Cost: about 15 minutes on two CPU cores.
Shows: medians of the forward pass and of forward with backward, and the memory of
temporary arrays, as a table and roi_align.csv.
Command: python -m experiments.benchmarks.roi_align
"""

import csv
import dataclasses
import itertools
import pathlib
import statistics
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.ops import Boxes
from carafe_jax.ops.roi_align.regions import Spec
from experiments.benchmarks.clock import host_timer
from experiments.benchmarks.roi_align.ways import Way, align


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoIAlign:
    """Regions, maps and ways to time."""

    ways: tuple[Way, ...] = ("windows", "fixed_windows", "cells")
    """The operator (`windows`) and its rivals."""
    image_size: tuple[int, int] = (800, 1344)
    """Height and width in pixels; the pyramid has strides of 4, 8, 16 and 32."""
    images: int = 1
    """Images of a batch."""
    regions: tuple[int, ...] = (64, 512)
    """Regions of an image, a timing for each."""
    channels: tuple[int, ...] = (64, 256)
    """Channels, a timing for each."""
    output_size: int = 7
    """Bins along each side of a region."""
    max_samples: int = 8
    """Bound of the rivals on the samples of a bin, along each axis."""
    windows: tuple[int, ...] = (16, 32)
    """Sides of the windows of the way `windows`, in cells."""
    blocks: tuple[int, ...] = (16, 64)
    """Numbers of regions that are read at once, for the way `windows`; the last of them
    for the rivals."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the features."""
    repetitions: int = 5
    """Timings of each program, all programs in turn."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/roi_align.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        for name in ("images", "output_size", "max_samples", "repetitions"):
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        for name in ("ways", "regions", "channels", "windows", "blocks"):
            if not getattr(self, name):
                raise RefusedError(f"`{name}` must have one or more values, got none.")


@dataclasses.dataclass
class Program:
    """A compiled way, and what was measured of it."""

    row: dict[str, Any]
    timer: Callable[[int], float]
    seconds: list[float]


def main(config: RoIAlign, console: Console) -> int:
    """Compile all programs, then time them in turn."""
    programs = [
        program
        for regions in config.regions
        for channels in config.channels
        for program in _programs(config, regions, channels, console)
    ]
    order = np.random.default_rng(0)
    for _ in track(range(config.repetitions), "timing", console=console):
        for index in order.permutation(len(programs)):
            programs[index].timer(1)  # The caches hold data of the program before.
            programs[index].seconds.append(programs[index].timer(1))
    machine = dataclasses.asdict(describe_machine())
    rows = [
        {
            **program.row,
            "seconds": statistics.median(program.seconds),
            "fastest_seconds": min(program.seconds),
            **machine,
        }
        for program in programs
    ]
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    console.print(_draw(config, rows))
    console.print(f"Table: {config.output}", markup=False)
    return 0


def make_boxes(config: RoIAlign, regions: int) -> Boxes:
    """Return boxes of 16 to 800 pixels, a third of them more than 1.6 times as long."""
    rng = np.random.default_rng(0)
    shape = (config.images, regions)
    side = np.exp(rng.uniform(np.log(16), np.log(800), shape))
    aspect = np.exp(rng.normal(0, 0.5, shape))
    half = np.stack([side * np.sqrt(aspect), side / np.sqrt(aspect)], axis=-1) / 2
    size = np.asarray(config.image_size[::-1])
    centre = rng.uniform(0, size, (*shape, 2))
    corners = np.concatenate([centre - half, centre + half], axis=-1)
    boxes = np.clip(corners, 0, np.concatenate([size, size])).astype(np.float32)
    return Boxes(jnp.asarray(boxes), jnp.ones(shape, bool))


def _programs(
    config: RoIAlign, regions: int, channels: int, console: Console
) -> list[Program]:
    boxes = make_boxes(config, regions)
    rng = np.random.default_rng(1)
    pyramid = []
    for stride in (4, 8, 16, 32):
        h, w = (-(-side // stride) for side in config.image_size)
        level = rng.normal(size=(config.images, h, w, channels))
        pyramid.append(jnp.asarray(level, config.dtype))
    found = []
    for way, spec in _specs(config):
        console.print(f"compiling {way}, {spec.window}, {spec.block}", markup=False)

        def forward(
            pyramid: list[jax.Array], boxes: Boxes, way: Way = way, spec: Spec = spec
        ) -> jax.Array:
            return align(way, spec, pyramid, boxes, max_samples=config.max_samples)

        def backward(
            pyramid: list[jax.Array], boxes: Boxes, way: Way = way, spec: Spec = spec
        ) -> list[jax.Array]:
            features, pull = jax.vjp(
                lambda levels: forward(levels, boxes, way, spec), pyramid
            )
            return pull(features)[0]

        for mode, function in (("forward", forward), ("backward", backward)):
            compiled = jax.jit(function).lower(pyramid, boxes).compile()
            analysis = compiled.memory_analysis()
            row = {
                "way": way,
                "window": spec.window if way != "cells" else "",
                "max_samples": config.max_samples if way != "windows" else "",
                "block": spec.block,
                "images": config.images,
                "regions": regions,
                "channels": channels,
                "output_size": config.output_size,
                "dtype": config.dtype,
                "mode": mode,
                "temporary_bytes": analysis.temp_size_in_bytes if analysis else "",
            }
            # Any: a pyramid is a list of arrays.
            arguments: Any = pyramid, boxes
            found.append(Program(row, host_timer(compiled, arguments), []))
    return found


def _specs(config: RoIAlign) -> list[tuple[Way, Spec]]:
    size = config.output_size, config.output_size
    largest = config.output_size * config.max_samples + 2
    specs: list[tuple[Way, Spec]] = []
    for way in config.ways:
        if way == "windows":
            sides, blocks = config.windows, config.blocks
        else:
            sides, blocks = (largest,), config.blocks[-1:]
        for side, block in itertools.product(sides, blocks):
            specs.append((way, Spec(size, window=side, block=block)))
    return specs


def _draw(config: RoIAlign, rows: list[dict[str, Any]]) -> Table:
    h, w = config.image_size
    table = Table(
        title=f"RoIAlign of {config.images} x {h} x {w} px, {config.output_size} bins, "
        f"{config.dtype}, {rows[0]['device']}"
    )
    columns = "way", "window", "block", "regions", "channels", "mode"
    for column in columns:
        table.add_column(column)
    for column in ("median (ms)", "fastest (ms)", "temporaries (MB)"):
        table.add_column(column, justify="right")
    for row in rows:
        memory = row["temporary_bytes"]
        table.add_row(
            *(str(row[name]) for name in columns),
            f"{1e3 * row['seconds']:.1f}",
            f"{1e3 * row['fastest_seconds']:.1f}",
            "" if memory == "" else f"{memory / 1e6:.0f}",
        )
    return table


if __name__ == "__main__":
    run(main, RoIAlign, doc=__doc__)
