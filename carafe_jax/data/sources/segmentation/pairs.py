"""Images in pairs with their label maps, checked by their headers."""

import dataclasses
import logging
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from carafe_jax.data.decoding import UnreadableImageError, upright_size
from carafe_jax.data.sources.digests import digest_of_texts
from carafe_jax.data.sources.findings import EXAMPLES, Findings
from carafe_jax.data.sources.images import DigestedImages
from carafe_jax.data.sources.reading import read_all_logged
from carafe_jax.data.sources.segmentation.label_files import (
    check_label_header,
    read_values,
)
from carafe_jax.data.sources.segmentation.label_table import LabelTable
from carafe_jax.data.sources.segmentation.treatments import DAMAGED
from carafe_jax.errors import RefusedError
from carafe_jax.texts import counted

_LOGGER = logging.getLogger(__name__)


@runtime_checkable
class PairedImages(DigestedImages, Protocol):
    """Images and their label maps by index, neither of them decoded."""

    def label_name(self, index: int, /) -> str:
        """Return the printable file or record name of a label map."""
        ...

    def open(self, index: int, /) -> Image.Image:
        """Open an image.

        Raises:
          UnreadableImageError: It cannot be opened.
        """
        ...

    def open_labels(self, index: int, /) -> Image.Image:
        """Open a label map, as an image.

        Raises:
          UnreadableImageError: It cannot be opened.
        """
        ...


@dataclasses.dataclass(frozen=True)
class SegmentedPairs:
    """Images with their label maps, of equal sizes."""

    pairs: PairedImages
    indices: Int64[np.ndarray, "n"]
    """Pairs that are used."""
    sizes: Int32[np.ndarray, "n 2"]
    """Height and width of the upright images."""
    label_table: LabelTable
    findings: Findings

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.label_table.names

    @property
    def palette(self) -> UInt8[np.ndarray, "k 3"] | None:
        """RGB colour of each class. None: the source has no colours."""
        return self.label_table.palette

    def name(self, index: int) -> str:
        """Return the file or record name of an image, in printable form."""
        return self.pairs.name(self._pair(index))

    def digest(self) -> str:
        """Return a hash of the pairs that are used, and of the labels of values."""
        return digest_of_texts(
            self.pairs.digest(),
            str(self.indices.tolist()),
            str(self.label_table.labels.tolist()),
        )

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of an upright image, without opening it."""
        height, width = self.sizes[index].tolist()
        return height, width

    def label_map(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """Return the label of each pixel; 255 at ignored ones."""
        name = self.pairs.label_name(self._pair(index))
        try:
            with self.pairs.open_labels(self._pair(index)) as file:
                check_label_header(file, name)
                values = read_values(file, name)
            self._check_size(index, values.shape[::-1], name, partner="image")
            return self.label_table.labels_of(values, name)
        except RefusedError as error:
            # Unreadable images are listed by their own names. A header was valid when
            # the source was opened.
            found = error.reason if isinstance(error, UnreadableImageError) else error
            reason = f"label map {name!r}: {found}"
            raise UnreadableImageError(reason, self.name(index)) from error

    def open(self, index: int) -> tuple[Image.Image, UInt8[np.ndarray, "h w"]]:
        """Open an image; return it with its label map."""
        labels = self.label_map(index)
        image = self.pairs.open(self._pair(index))
        try:
            size, name = upright_size(image), self.name(index)
            self._check_size(index, size, name, partner="label map")
        except UnreadableImageError:
            image.close()
            raise
        return image, labels

    def _pair(self, index: int) -> int:
        return int(self.indices[index])

    def _check_size(
        self, index: int, size: tuple[int, ...], name: str, *, partner: str
    ) -> None:
        height, width = self.size(index)
        if size != (width, height):
            raise UnreadableImageError(
                f"it is {_sides(size)} upright, and its {partner} "
                f"{_sides((width, height))}",
                name,
            )


def check_pairs(
    pairs: PairedImages, *, label_table: LabelTable, findings: Findings
) -> SegmentedPairs:
    """Read the headers of all images and label maps.

    Args:
      pairs: At least one image with its label map.
      label_table: Classes of the label maps, by value.
      findings: Pairs that cannot be opened are added.

    Returns:
      The pairs that can be opened.

    Raises:
      RefusedError: A label map has an invalid header or another size than its image, or
        no pair can be opened.
    """
    _LOGGER.info("Reading the headers of %d images and label maps.", len(pairs))
    sizes: dict[int, tuple[int, int]] = {}
    damaged: list[UnreadableImageError] = []
    refused: list[RefusedError] = []
    every = read_all_logged(lambda i: _size(pairs, i), len(pairs), noun="headers")
    for index, found in enumerate(every):
        if isinstance(found, UnreadableImageError):
            damaged.append(found)
        elif isinstance(found, RefusedError):
            refused.append(found)
        else:
            sizes[index] = found
    if refused:
        others = len(refused) - 1
        more = f" {counted(others, 'other pair')} must be mended as well."
        raise RefusedError(f"{refused[0]}{more if others else ''}")
    if not sizes:
        raise RefusedError(
            f"`source` must have images that can be opened with their label maps, got "
            f"none of {len(pairs)}: {damaged[0]}"
        )
    examples = [error.name for error in damaged[:EXAMPLES]]
    findings.add(DAMAGED, examples, count=len(damaged))
    return SegmentedPairs(
        pairs,
        np.array([*sizes], np.int64),
        np.array([*sizes.values()], np.int32),
        label_table,
        findings,
    )


def _size(pairs: PairedImages, index: int) -> tuple[int, int] | RefusedError:
    """Return height and width of a pair, or the error."""
    try:
        with pairs.open_labels(index) as labels, pairs.open(index) as image:
            check_label_header(labels, pairs.label_name(index))
            # A PNG may have its orientation after its pixels. It is not decoded here if
            # its stored size is right: opening it for use checks its upright size.
            is_jpeg = isinstance(image, JpegImageFile)
            size = image.size
            if is_jpeg or size != labels.size:
                size = upright_size(image)
            if size != labels.size:
                turned = (
                    f", stored as {_sides(image.size)}" if size != image.size else ""
                )
                raise RefusedError(
                    "`source` must have label maps of the sizes of their images, got "
                    f"{_sides(labels.size)} in {pairs.label_name(index)!r} and "
                    f"{_sides(size)} upright{turned} in {pairs.name(index)!r}."
                )
    except RefusedError as error:
        return error
    width, height = size
    return height, width


def _sides(size: tuple[int, ...]) -> str:
    width, height = size
    return f"{width} x {height}"
