"""Contents of a source of any task: counts, sizes, classes and findings."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from carafe_jax.arguments import Number
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
from carafe_jax.data.sources.reading import read_all
from carafe_jax.errors import RefusedError

Opened = TypeVar("Opened")
T = TypeVar("T")

SPLITS: dict[str, Split] = {"training": "train", "test": "test"}
"""Splits by their names in reports."""


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
        """What a run leaves out, or refuses."""
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
class SegmentedSplit(CheckedSplit, Protocol):
    """A split whose images have label maps, all of which `check-data` reads."""

    @property
    def padding(self) -> float | None:
        """Fraction of padding in the batches of a run with the default options.

        None: the run does not pad images of this split.
        """
        ...

    def label_counts(self, index: int, /) -> np.ndarray:
        """Return the number of pixels of each class, and of ignored ones at the end.

        Raises:
          UnreadableImageError: The label map is unreadable, or has unknown values.
        """
        ...


@runtime_checkable
class DataCheckModule(Protocol):
    """Interface of the module `data_check` of a task's package."""

    def open_splits(
        self, source: str, /, *, test_fraction: float, options: Any
    ) -> "Splits[Any]":
        """Open the splits that a source has.

        Args:
          source: Source of the images.
          test_fraction: Fraction of a folder that is held out for testing.
          options: Data options of a run, the task's `DataCheckOptions`.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Splits(Generic[Opened]):
    """Splits of a source by their names in reports; one that is missing is in none."""

    opened: Mapping[str, Opened]
    refused: Mapping[str, str]
    """The error of each split that cannot be used."""


@dataclasses.dataclass(frozen=True)
class SplitUse:
    """Use of a split by a run."""

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
class PixelCounts:
    """Numbers of pixels in label maps."""

    per_class: np.ndarray
    """Pixels of each class."""
    images_per_class: np.ndarray
    """Images with a pixel of each class."""
    ignored: int
    """Pixels without a class."""
    padding: float | None
    """Fraction of padding, as in `SegmentedSplit`."""

    @property
    def labelled(self) -> int:
        """Pixels with a class."""
        return int(self.per_class.sum())

    @property
    def ignored_fraction(self) -> float:
        """Fraction of the pixels without a class."""
        return self.ignored / max(1, self.ignored + self.labelled)

    def fraction(self, label: int) -> float:
        """Return the fraction of a class among the pixels with a class."""
        return int(self.per_class[label]) / max(1, self.labelled)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of all classes together in the form of JSON."""
        return {
            "labelled": self.labelled,
            "ignored": self.ignored,
            "ignored_fraction": self.ignored_fraction,
            "padding_fraction": self.padding,
        }


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
    pixels: PixelCounts | None
    findings: Findings
    use: SplitUse
    unreadable: dict[str, str] | None
    """Reason why each of these images cannot be read, by its name. None: no image was
    opened, and no label map."""

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
        if self.pixels is not None:
            found["pixels"] = self.pixels.summary()
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

    def _class_summary(self, label: int) -> dict[str, Number]:
        found: dict[str, Number] = {"images": int(self.images_per_class[label])}
        if self.objects is not None:
            found["objects"] = int(self.objects.per_class[label])
        if self.pixels is not None:
            found["pixels"] = int(self.pixels.per_class[label])
            found["pixel_fraction"] = self.pixels.fraction(label)
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


def check_split(
    split: CheckedSplit, *, decode: bool, name: str, console: Console
) -> SplitReport:
    """Return the contents of a split; a bar shows the progress of reading.

    Args:
      split: Split to check.
      decode: Whether to decode every image. Otherwise an image is opened only if its
        size is not known, and its pixels are not decoded. Label maps are always read.
      name: Name of the split, for the bar.
      console: Console for the bar.
    """
    objects, known = split.object_counts(), split.sizes
    counts = np.zeros(len(split.classes), np.int64)
    unreadable: dict[str, str] | None = None
    sizes = [] if known is None else [*known]
    pixels: PixelCounts | None = None
    if isinstance(split, SegmentedSplit):
        pixels, unreadable = _count_pixels(split, name, console)
        counts = pixels.images_per_class
    if decode or known is None:
        unreadable = unreadable or {}
        verb = "decoding" if decode else "opening"
        read = _reader(split, decode)
        for index, found in _read_each(
            read, len(split.images), f"{verb} {name}", console
        ):
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
        pixels=pixels,
        findings=split.findings,
        use=split.use,
        unreadable=unreadable,
    )


def _count_pixels(
    split: SegmentedSplit, name: str, console: Console
) -> tuple[PixelCounts, dict[str, str]]:
    """Read all label maps; return their pixels, and why others cannot be read."""
    total = np.zeros(len(split.classes) + 1, np.int64)
    images = np.zeros(len(split.classes) + 1, np.int64)
    unreadable: dict[str, str] = {}

    def read(index: int) -> np.ndarray | UnreadableImageError:
        try:
            return split.label_counts(index)
        except UnreadableImageError as error:
            return error

    description = f"reading label maps of {name}"
    for index, found in _read_each(read, len(split.images), description, console):
        if isinstance(found, UnreadableImageError):
            unreadable[split.images.name(index)] = found.reason
            continue
        total += found
        images += found > 0
    counts = PixelCounts(total[:-1], images[:-1], int(total[-1]), split.padding)
    return counts, unreadable


Read = tuple[tuple[int, int], int | None]


def _read_each(
    read: Callable[[int], T], total: int, description: str, console: Console
) -> Iterable[tuple[int, T]]:
    """Yield each index with what is read of it, and show a bar."""
    found = enumerate(read_all(read, total))
    return track(found, total=total, description=description, console=console)


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
