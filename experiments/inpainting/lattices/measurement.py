"""Energy of lattices in fills and in the truth, over a test set."""

import csv
import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console

from carafe_jax.metrics import lattice_energy, to_unit_range
from carafe_jax.tasks.inpainting.data import HeldOutExamples
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.measuring import readable_batches
from carafe_jax.tasks.tables import Column, Results

TRUTH = "truth"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lattice:
    """Lattice of a period in the holes of a test set, filled by one method."""

    holes: str
    """Their kind."""
    method: str
    period: int
    """In pixels."""
    energy: float
    """Mean square in the hole of images in [0, 1], averaged over the pictures."""
    decibels: float
    """Energy relative to the truth's, in dB; 0 dB: equal."""
    pictures: int
    """With a hole that is deep enough to be measured."""


def measure_lattices(
    examples: HeldOutExamples,
    methods: Mapping[str, Fill],
    *,
    holes: str,
    periods: Sequence[int],
    batch_size: int,
    console: Console,
) -> list[Lattice]:
    """Fill every test picture that can be read, and measure its lattices.

    Args:
      examples: Test pictures with holes.
      methods: Fills of batches, by their names.
      holes: Kind of the holes.
      periods: Of the lattices, in pixels.
      batch_size: Pictures at a time.
      console: Where the progress bar is drawn.

    Raises:
      RefusedError: None of the pictures can be read.
    """
    methods = {**methods, TRUTH: lambda batch: batch["image"]}
    pieces: dict[tuple[str, int], list[np.ndarray]] = {
        (method, period): [] for method in methods for period in periods
    }
    for batch in readable_batches(examples, batch_size=batch_size, console=console):
        for method, fill in methods.items():
            images = to_unit_range(fill(batch))
            for period in periods:
                energy = lattice_energy(images, batch["mask"], period=period)
                pieces[method, period].append(np.asarray(energy))
    energies = {key: np.concatenate(piece) for key, piece in pieces.items()}
    return [
        _lattice(holes, method, period, energy, energies[TRUTH, period])
        for (method, period), energy in energies.items()
    ]


def _lattice(
    holes: str, method: str, period: int, energy: np.ndarray, truth: np.ndarray
) -> Lattice:
    measured = np.isfinite(truth)
    mean, reference = (
        float(values[measured].mean()) if measured.any() else math.nan
        for values in (energy, truth)
    )
    return Lattice(
        holes=holes,
        method=method,
        period=period,
        energy=mean,
        decibels=_decibels(mean, reference),
        pictures=int(measured.sum()),
    )


def _decibels(energy: float, reference: float) -> float:
    if min(energy, reference) > 0:
        return 10 * math.log10(energy / reference)
    return math.nan


def write_lattices(path: pathlib.Path, lattices: Sequence[Lattice]) -> None:
    """Write a CSV with a row for each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        names = [field.name for field in dataclasses.fields(Lattice)]
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(dataclasses.asdict(lattice) for lattice in lattices)


def tabulate(lattices: Sequence[Lattice]) -> tuple[Results, dict[str, Column]]:
    """Return a row for each method, and columns for each period: RMS of 255, dB."""
    columns: dict[str, Column] = {}
    results: dict[str, dict[str, float]] = {}
    for lattice in lattices:
        period, row = lattice.period, results.setdefault(lattice.method, {})
        row[f"rms_{period}"] = 255 * math.sqrt(lattice.energy)
        row[f"decibels_{period}"] = lattice.decibels
        columns[f"rms_{period}"] = Column(f"{period} px\nRMS", 2)
        columns[f"decibels_{period}"] = Column(f"dB\nn = {lattice.pictures}", 1)
    return results, columns
