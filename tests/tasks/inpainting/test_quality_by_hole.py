import csv

import numpy as np

from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.tasks.inpainting.quality_by_hole import Measured


def test_means_are_taken_by_the_size_of_the_hole(tmp_path):
    values = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    measured = Measured(
        hole_fractions=np.array([0.05, 0.1, 0.15, 0.5], np.float32),
        quality={"some": dict.fromkeys(COLUMNS, values)},
    )
    measured.write_means(tmp_path / "quality.csv")
    with (tmp_path / "quality.csv").open(newline="") as file:
        rows = [
            (row["hole_fraction"], int(row["pictures"]), float(row["hole_l1"]))
            for row in csv.DictReader(file)
        ]
    assert rows == [
        ("all", 4, 3.75),
        ("0 % to 10 %", 2, 1.5),
        ("10 % to 20 %", 1, 4.0),
        ("40 % to 100 %", 1, 8.0),
    ]
