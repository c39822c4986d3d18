"""The measure of lattices over a test set, its table and its picture."""

import csv
import math

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import FreeFormHoles
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting import InpaintingData
from carafe_jax.tasks.inpainting.data import (
    HeldOutExamples,
    InpaintingBatch,
    InpaintingDataset,
)
from experiments.inpainting.lattices.measurement import (
    Lattice,
    measure_lattices,
    tabulate,
    write_lattices,
)
from experiments.inpainting.lattices.picture import draw_lattices
from experiments.inpainting.measure_lattice import MeasureLattice


@pytest.fixture(scope="module")
def examples():
    """Pictures whose holes are boxes of 24 x 24 pixels."""
    holes = FreeFormHoles(
        strokes=(0, 0),
        rectangles=(1, 1),
        rectangle_side=(0.75, 0.75),
        hole_fraction=(1e-6, 0.9),
    )
    return InpaintingDataset(
        InpaintingData(crop_size=32, masks=holes, test_crops=1)
    ).held_out


def with_lattice(batch):
    columns = (-1.0) ** np.arange(32, dtype=np.float32)
    return np.broadcast_to(0.2 * columns[:, None], batch["image"].shape)


def measure(examples, **options):
    return measure_lattices(
        examples,
        {"lattice": with_lattice, "grey": lambda batch: 0 * batch["image"]},
        holes="boxes",
        periods=(2, 8),
        batch_size=2,
        console=Console(quiet=True),
    )


def test_lattice_of_a_fill_is_measured_beside_that_of_the_truth(examples):
    found = {(x.method, x.period): x for x in measure(examples)}
    # Images in [-1, 1] have twice the amplitude of those in [0, 1].
    assert found["lattice", 2].energy == pytest.approx(0.01, rel=1e-4)
    assert found["lattice", 2].pictures == len(examples)
    assert found["truth", 2].decibels == 0
    expected = 10 * math.log10(0.01 / found["truth", 2].energy)
    assert found["lattice", 2].decibels == pytest.approx(expected, abs=0.01)
    assert found["grey", 2].decibels < -100


def test_windows_that_no_hole_has_room_for_leave_nothing_to_measure(examples):
    eight = next(x for x in measure(examples) if x.period == 8)
    assert eight.pictures == 0
    assert math.isnan(eight.energy)


def test_table_and_file_have_every_number(tmp_path):
    lattices = [
        Lattice(
            holes="boxes",
            method=method,
            period=period,
            energy=energy,
            decibels=0.0,
            pictures=3,
        )
        for method, energy in (("some", 0.04), ("truth", 0.01))
        for period in (2, 4)
    ]
    write_lattices(tmp_path / "lattice.csv", lattices)
    with (tmp_path / "lattice.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["period"]) for row in rows] == [
        ("some", "2"),
        ("some", "4"),
        ("truth", "2"),
        ("truth", "4"),
    ]
    results, columns = tabulate(lattices)
    assert results["some"]["rms_4"] == pytest.approx(51)
    assert list(columns) == ["rms_2", "decibels_2", "rms_4", "decibels_4"]


def test_source_without_readable_test_images_is_refused(examples, monkeypatch):
    monkeypatch.setattr(HeldOutExamples, "__getitem__", lambda *_: {"valid": False})
    with pytest.raises(RefusedError, match="`source` must have readable test images"):
        measure(examples)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"periods": ()}, "`periods` must be one or more different numbers"),
        ({"periods": (2, 4, 2)}, "`periods` must be one or more different numbers"),
        ({"periods": (1, 2)}, "`periods` must be .* of at least 2, got"),
        ({"batch_size": 0}, "`batch_size` must be positive, got 0"),
    ],
)
def test_fields_that_measure_nothing_are_refused(tmp_path, fields, rule):
    with pytest.raises(RefusedError, match=rule):
        MeasureLattice(model=tmp_path, **fields)


def test_picture_is_drawn(examples, tmp_path):
    example = examples[0]
    image, mask = (example[name][None] for name in ("image", "mask"))
    truth = InpaintingBatch(image=image, mask=mask)
    path = tmp_path / "lattice.png"
    draw_lattices(path, truth, filled={"some": with_lattice(truth)}, periods=(2,))
    with Image.open(path) as picture:
        assert min(picture.size) > 200
