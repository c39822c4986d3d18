"""Tables and lines of the contents of a data set."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.tasks.data_check import ObjectCounts, PixelCounts, SplitReport
from carafe_jax.tasks.lines import print_line
from carafe_jax.texts import counted, percent, printable

_SHOWN = 50  # Classes, and unreadable images of a split.


def print_reports(
    reports: Mapping[str, SplitReport], *, title: str, console: Console
) -> None:
    """Print the contents of each split, and what was found.

    Args:
      reports: Contents by the name of the split.
      title: Title of the first table.
      console: Console to print to.
    """
    console.print(_images_table(reports, title))
    if any(report.objects is not None for report in reports.values()):
        console.print(_objects_table(reports))
    if any(report.pixels is not None for report in reports.values()):
        console.print(_pixels_table(reports))
    classes = next(iter(reports.values())).classes
    if classes:
        console.print(_class_table(reports, classes))
    for name, report in reports.items():
        for finding in report.findings.by_treatment():
            treatment = finding.reason.treatment.title()
            print_line(console, f"{treatment} in {name}: {finding}")
        for text in report.use.left_out:
            print_line(console, f"Left out in {name}: {text}")
        for text in report.use.refused:
            print_line(console, f"Refused in {name}: {text}")
        unreadable = [*(report.unreadable or {}).items()]
        for image, reason in unreadable[:_SHOWN]:
            print_line(console, f"Unreadable in {name}: {image} ({reason})")
        if (more := len(unreadable) - _SHOWN) > 0:
            print_line(console, f"Unreadable in {name}: {more} more, in report.json")


def _images_table(reports: Mapping[str, SplitReport], title: str) -> Table:
    table = Table(title=Text(printable(title)))
    table.add_column("split")
    for name in ("images", "unreadable", "smallest", "median", "largest"):
        table.add_column(name, justify="right")
    for name, report in reports.items():
        sizes = report.extreme_sizes() if len(report.sizes) else {}
        table.add_row(
            name,
            f"{report.images:,}",
            "not checked"
            if report.unreadable is None
            else f"{len(report.unreadable):,}",
            *(f"{width} x {height}" for height, width in sizes.values()),
        )
    return table


def _objects_table(reports: Mapping[str, SplitReport]) -> Table:
    table = Table(title="Objects")
    table.add_column("split")
    for name in (
        *("objects", "crowds", "images without"),
        *("median per image", "95 %", "most"),
    ):
        table.add_column(name, justify="right")
    for name, report in reports.items():
        if (objects := report.objects) is not None:
            table.add_row(name, *_object_cells(objects))
    return table


def _object_cells(objects: ObjectCounts) -> list[str]:
    counts = objects.per_image
    numbers = [counts.sum(), objects.crowds, (counts == 0).sum()]
    places = [
        np.median(counts),
        np.percentile(counts, 95, method="higher"),
        counts.max(),
    ]
    return [f"{number:,}" for number in numbers] + [f"{place:g}" for place in places]


def _pixels_table(reports: Mapping[str, SplitReport]) -> Table:
    table = Table(title="Pixels")
    table.add_column("split")
    for name in ("with a class", "ignored", "padding in batches"):
        table.add_column(name, justify="right")
    for name, report in reports.items():
        if (pixels := report.pixels) is not None:
            table.add_row(name, *_pixel_cells(pixels))
    return table


def _pixel_cells(pixels: PixelCounts) -> list[str]:
    return [
        f"{pixels.labelled:,}",
        percent(pixels.ignored_fraction, digits=1),
        "none" if pixels.padding is None else percent(pixels.padding, digits=1),
    ]


def _class_table(reports: Mapping[str, SplitReport], classes: Sequence[str]) -> Table:
    title = f"The first {_SHOWN} of {counted(len(classes), 'class', 'classes')}"
    table = Table(title=title if len(classes) > _SHOWN else None)
    table.add_column("class", overflow="fold")
    for name, report in reports.items():
        table.add_column(f"{name} images", justify="right")
        if report.objects is not None:
            table.add_column("objects", justify="right")
        if report.pixels is not None:
            table.add_column("pixels", justify="right")
    for label, name in enumerate(classes[:_SHOWN]):
        cells: list[str] = []
        for report in reports.values():
            cells.append(f"{report.images_per_class[label]:,}")
            if report.objects is not None:
                cells.append(f"{report.objects.per_class[label]:,}")
            if report.pixels is not None:
                cells.append(percent(report.pixels.fraction(label), digits=2))
        table.add_row(Text(printable(name)), *cells)
    return table
