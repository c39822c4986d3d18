"""Quality of label maps: columns of tables, and the scores of each class."""

import csv
import pathlib
from collections.abc import Mapping, Sequence

from carafe_jax.files import write_atomically
from carafe_jax.metrics import SegmentationQuality
from carafe_jax.tasks.tables import Column

COLUMNS = {
    "mean_iou": Column("mean IoU", 4),
    "mean_iou_of_present": Column("mean IoU,\npresent classes", 4),
    "pixel_accuracy": Column("pixel\naccuracy", 4),
}


def write_per_class(
    path: pathlib.Path,
    measured: Mapping[str, SegmentationQuality],
    *,
    classes: Sequence[str],
) -> None:
    """Write a CSV with a row for each method and class, atomically.

    Args:
      path: Path of the file.
      measured: Quality by the name of the method.
      classes: Names of the classes.
    """
    with (
        write_atomically(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["method", "class", "iou", "absent"])
        for method, quality in measured.items():
            rows = zip(classes, quality.iou, quality.absent, strict=True)
            for name, iou, absent in rows:
                writer.writerow([method, name, float(iou), int(absent)])
