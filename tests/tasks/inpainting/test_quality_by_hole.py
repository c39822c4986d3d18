import csv

import numpy as np
import pytest
from rich.console import Console

from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.tasks.inpainting.quality_by_hole import (
    Measured,
    write_images,
    write_means,
)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_means_are_taken_by_the_size_of_the_hole(tmp_path):
    values = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    measured = Measured(
        hole_fractions=np.array([0.05, 0.1, 0.15, 0.5], np.float32),
        quality={"some": dict.fromkeys(COLUMNS, values)},
    )
    write_means(tmp_path / "quality.csv", {"boxes": measured})
    rows = [
        (row["hole_fraction"], int(row["pictures"]), float(row["hole_l1"]))
        for row in read(tmp_path / "quality.csv")
    ]
    assert rows == [
        ("all", 4, 3.75),
        ("0 % to 10 %", 2, 1.5),
        ("10 % to 20 %", 1, 4.0),
        ("40 % to 100 %", 1, 8.0),
    ]


@pytest.mark.parametrize("write", [write_images, write_means])
def test_tables_keep_the_kinds_of_holes_apart(write, tmp_path):
    measured = {
        kind: Measured(
            hole_fractions=np.array([0.05], np.float32),
            quality={"some": dict.fromkeys(COLUMNS, np.array([value], np.float32))},
        )
        for kind, value in (("boxes", 1.0), ("strokes", 2.0))
    }
    write(tmp_path / "table.csv", measured)
    rows = [
        (row["holes"], float(row["hole_l1"])) for row in read(tmp_path / "table.csv")
    ]
    assert sorted(set(rows)) == [("boxes", 1.0), ("strokes", 2.0)]


@pytest.mark.parametrize(
    ("number", "shown"), [("hole_psnr", "3.00"), ("hole_ssim", "3.000")]
)
def test_table_by_hole_has_a_column_for_each_size(number, shown):
    values = np.array([2.0, 4.0, 0.5], np.float32)
    measured = Measured(
        hole_fractions=np.array([0.05, 0.1, 0.15], np.float32),
        quality={"some": dict.fromkeys(COLUMNS, values)},
    )
    console = Console(record=True, width=100)
    console.print(measured.draw_by_hole(number))
    text = console.export_text()
    assert COLUMNS[number].title.split()[1] in text
    assert "10 % to 20 %" in text
    assert shown in text
