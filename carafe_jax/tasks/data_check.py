"""Contents of a source of any task: counts, sizes, classes and findings."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from carafe_jax.data import (
    Findings,
    MissingSplitError,
    NamedImages,
    Split,
    UnreadableImageError,
    to_rgb,
    upright,
    upright_size,
)
from carafe_jax.errors import RefusedError

Opened = TypeVar("Opened")

SPLITS: dict[str, Split] = {"training": "train", "test": "test"}
"""Splits by their names in reports."""
_THREADS = 16
_PART = 4096  # Results that wait to be used, at most.


@runtime_checkable
class CheckedSplit(Protocol):
    """One split of a source, as `check-data` needs it."""

    @property
    def images(self) -> NamedImages:
        """Images of the split, with their names."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none for images without classes."""
        ...

    @property
    def findings(self) -> Findings:
        """What was dropped, mended or kept while the split was opened."""
        ...

    @property
    def sizes(self) -> Sequence[tuple[int, int]] | None:
        """Height and width of each image. None: they are not known without reading."""
        ...

    @property
    def use(self) -> "SplitUse":
        """What a run with the default options leaves out, or refuses."""
        ...

    def open(self, index: int, /) -> tuple[Image.Image, int | None]:
        """Open an image; return it with the label of its class, if it has one.

        Raises:
          UnreadableImageError: The image cannot be opened.
        """
        ...

    def object_counts(self) -> "ObjectCounts | None":
        """Return the numbers of annotated objects. None: there are no objects."""
        ...

    def examples(self, count: int, /) -> list[int]:
        """Return the indices of images to draw, at most `count`."""
        ...

    def draw(self, index: int, /, *, height: int) -> tuple[Image.Image, str]:
        """Return a picture of a height, or lower, and its caption.

        Raises:
          UnreadableImageError: The image cannot be read.
        """
        ...


@runtime_checkable
class DataCheckModule(Protocol):
    """Interface of the module `data_check` of a task's package."""

    def open_splits(self, source: str, /, *, test_fraction: float) -> "Splits[Any]":
        """Open the splits that a source has."""
        ...


@dataclasses.dataclass(frozen=True)
class Splits(Generic[Opened]):
    """Splits of a source by their names in reports; one that is missing is in none."""

    opened: Mapping[str, Opened]
    refused: Mapping[str, str]
    """The error of each split that cannot be used."""


@dataclasses.dataclass(frozen=True)
class SplitUse:
    """Use of a split by a run with the default options."""

    left_out: tuple[str, ...] = ()
    """Descriptions of what takes no part in the run."""
    refused: tuple[str, ...] = ()
    """Errors with which the run would end."""


@dataclasses.dataclass(frozen=True)
class ObjectCounts:
    """Numbers of annotated objects."""

    per_image: np.ndarray
    """Objects of each image, without crowds."""
    per_class: np.ndarray
    """Objects of each class, without crowds."""
    images_per_class: np.ndarray
    """Images with an object of each class."""
    crowds: int
    """Crowds in all images."""


@dataclasses.dataclass(frozen=True)
class SplitReport:
    """Contents of one split."""

    images: int
    sizes: np.ndarray
    """Height and width of the images whose size is known."""
    classes: tuple[str, ...]
    images_per_class: np.ndarray
    """Images of each class, or with objects of it."""
    objects: ObjectCounts | None
    findings: Findings
    use: SplitUse
    unreadable: dict[str, str] | None
    """Reason why each of these images cannot be read, by its name. None: no image was
    opened."""

    def summary(self) -> dict[str, Any]:
        """Return the contents in the form of JSON."""
        found: dict[str, Any] = {"images": self.images}
        if len(self.sizes):
            found["sizes"] = {
                name: {"width": width, "height": height}
                for name, (height, width) in self.extreme_sizes().items()
            }
        if self.objects is not None:
            found |= self._objects_summary(self.objects)
        if self.classes:
            found["classes"] = {
                name: self._class_summary(label)
                for label, name in enumerate(self.classes)
            }
        found["findings"] = [
            {
                "treatment": finding.reason.treatment,
                "text": finding.reason.text(finding.count),
                "count": finding.count,
                "examples": [*finding.examples],
            }
            for finding in self.findings.by_treatment()
        ]
        found["left_out"] = [*self.use.left_out]
        found["refused"] = [*self.use.refused]
        found["unreadable"] = self.unreadable
        return found

    def extreme_sizes(self) -> dict[str, tuple[int, int]]:
        """Return the smallest, median and largest size (height, width), by area."""
        order = np.argsort(self.sizes.prod(1, dtype=np.int64), kind="stable")
        places = {"smallest": 0, "median": (len(order) - 1) // 2, "largest": -1}
        found: dict[str, tuple[int, int]] = {}
        for name, place in places.items():
            height, width = self.sizes[order[place]].tolist()
            found[name] = (height, width)
        return found

    def _objects_summary(self, objects: ObjectCounts) -> dict[str, Any]:
        counts = objects.per_image
        return {
            "objects": int(counts.sum()),
            "crowds": objects.crowds,
            "images_without_objects": int((counts == 0).sum()),
            "objects_per_image": {
                "median": float(np.median(counts)),
                "95 %": int(np.percentile(counts, 95, method="higher")),
                "largest": int(counts.max()),
            },
        }

    def _class_summary(self, label: int) -> dict[str, int]:
        found = {"images": int(self.images_per_class[label])}
        if self.objects is not None:
            found["objects"] = int(self.objects.per_class[label])
        return found


def open_existing(open_split: Callable[[Split], Opened]) -> Splits[Opened]:
    """Return the splits that a source has.

    Args:
      open_split: Function that opens one of them; training comes first.

    Raises:
      RefusedError: No split can be used: the error of the first that is refused, or of
        one that is missing.
    """
    opened: dict[str, Opened] = {}
    errors: dict[str, RefusedError] = {}
    for name, split in SPLITS.items():
        try:
            opened[name] = open_split(split)
        except RefusedError as error:
            errors[name] = error
    refused = {
        name: error
        for name, error in errors.items()
        if not isinstance(error, MissingSplitError)
    }
    if not opened:
        raise next(iter([*refused.values(), *errors.values()]))
    return Splits(opened, {name: str(error) for name, error in refused.items()})


def spread(total: int, count: int) -> list[int]:
    """Return indices that are spread evenly.

    Args:
      total: Number of indices.
      count: Number to return, at most.
    """
    return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()


def check_split(
    split: CheckedSplit, *, decode: bool, name: str, console: Console
) -> SplitReport:
    """Return the contents of a split; a bar shows the progress of reading.

    Args:
      split: Split to check.
      decode: Whether to decode every image. Otherwise an image is opened only if its
        size is not known, and its pixels are not decoded.
      name: Name of the split, for the bar.
      console: Console for the bar.
    """
    objects, known = split.object_counts(), split.sizes
    counts = np.zeros(len(split.classes), np.int64)
    unreadable: dict[str, str] | None = None
    sizes = [] if known is None else [*known]
    if decode or known is None:
        unreadable = {}
        verb = "decoding" if decode else "opening"
        for index, found in _read_all(split, decode, f"{verb} {name}", console):
            if isinstance(found, UnreadableImageError):
                unreadable[split.images.name(index)] = found.reason
                continue
            size, label = found
            if known is None:
                sizes.append(size)
            if label is not None:
                counts[label] += 1
    return SplitReport(
        images=len(split.images),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        classes=split.classes,
        images_per_class=counts if objects is None else objects.images_per_class,
        objects=objects,
        findings=split.findings,
        use=split.use,
        unreadable=unreadable,
    )


Read = tuple[tuple[int, int], int | None]


def _read_all(
    split: CheckedSplit, decode: bool, description: str, console: Console
) -> Any:
    """Yield the index of each image with its size and label, or with the error."""
    total = len(split.images)
    pool = ThreadPoolExecutor(_THREADS)

    def results() -> Any:
        for start in range(0, total, _PART):
            part = range(start, min(start + _PART, total))
            yield from zip(part, pool.map(_reader(split, decode), part), strict=True)

    try:
        yield from track(
            results(), total=total, description=description, console=console
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _reader(
    split: CheckedSplit, decode: bool
) -> Callable[[int], Read | UnreadableImageError]:
    def read(index: int) -> Read | UnreadableImageError:
        try:
            image, label = split.open(index)
            with image:
                width, height = upright_size(image)
                if decode:
                    to_rgb(upright(image))
            return (height, width), label
        except UnreadableImageError as error:
            return error

    return read
