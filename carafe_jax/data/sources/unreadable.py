"""Policy for unreadable images.

An image is unreadable if reading it raises `UnreadableImageError`: damaged files,
pixels without a known range and photographs that are too small. Each process that reads
it logs a warning with its name and counts it; to exceed the limit is an error, and so
is a source without any readable image. In training, the next readable image replaces
it; in a test set, it has no example. Every other error ends the run.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int64

from carafe_jax.data.decoding import UnreadableImageError
from carafe_jax.data.sources.images import NamedImages
from carafe_jax.errors import RefusedError

_LOGGER = logging.getLogger(__name__)
_NAMES_IN_AN_ERROR = 10

T = TypeVar("T")


class TooManyUnreadableImagesError(RefusedError):
    """More images are unreadable than `unreadable_limit` allows."""

    def __init__(self, reasons: Mapping[str, str], limit: int) -> None:
        """Store the reasons; the message names the first images with theirs."""
        self.reasons = dict(reasons)
        """Reason why each image is unreadable, by its name."""
        self.limit = limit
        super().__init__(
            f"`unreadable_limit` allows {limit} unreadable images, got "
            f"{len(self.reasons)}: {_named(self.reasons)}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reasons, self.limit), self.__dict__


@dataclasses.dataclass
class UnreadableImages:
    """Reader of a source that logs and counts unreadable images; thread-safe.

    A pickled copy, as other processes receive it, counts from zero.
    """

    images: NamedImages
    limit: int
    """Number of unreadable images that are allowed."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}
        self._any_readable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.images, self.limit)

    def read_or_next(self, index: int, read: Callable[[int], T]) -> T:
        """Return the example of an image, or of the next readable one.

        Args:
          index: Index of the image. The first image follows the last.
          read: Function that returns the example of an index, or raises
            `UnreadableImageError`.

        Returns:
          The example.

        Raises:
          TooManyUnreadableImagesError: More than `limit` images are unreadable.
          RefusedError: Every image is unreadable.
        """
        count = len(self.images)
        for example in self._readable(_cycle(range(count), index), read):
            return example
        raise RefusedError(
            f"`source` must have readable images, got none among {count}: "
            f"{_named(self._reasons)}"
        )

    def read_or_next_of(
        self, place: int, read: Callable[[int], T], *, group: Int64[np.ndarray, "n"]
    ) -> T | None:
        """Return the example of an image, or of the next readable one of its group.

        Args:
          place: Place of the image in the group. The first image follows the last.
          read: Function that returns the example of an index, as in `read_or_next`.
          group: Indices of images that may replace each other, such as those of one
            size.

        Returns:
          The example, or None if no image of the group is readable.

        Raises:
          TooManyUnreadableImagesError: More than `limit` images are unreadable.
          RefusedError: Every image is unreadable, of all groups.
        """
        for example in self._readable(_cycle(group, place), read):
            return example
        if not self._any_readable:
            self.read_or_next(int(group[place]), read)
        return None

    def read_or_none(self, index: int, read: Callable[[int], T]) -> T | None:
        """Return the example of an image, or None if it is unreadable.

        Args:
          index: Index of the image.
          read: Function that returns the example, as in `read_or_next`.

        Returns:
          The example, or None.

        Raises:
          TooManyUnreadableImagesError: More than `limit` images are unreadable.
          RefusedError: Every image is unreadable.
        """
        try:
            return self._read(index, read)
        except UnreadableImageError as error:
            self._count(index, error)
        if not self._any_readable:
            self.read_or_next(index, read)
        return None

    def _readable(
        self, indices: Iterable[int], read: Callable[[int], T]
    ) -> Iterator[T]:
        """Yield the examples of images, without the unreadable ones."""
        for index in indices:
            try:
                yield self._read(index, read)
            except UnreadableImageError as error:
                self._count(index, error)

    def _read(self, index: int, read: Callable[[int], T]) -> T:
        example = read(index)
        self._any_readable = True
        return example

    def _count(self, index: int, error: UnreadableImageError) -> None:
        name = self.images.name(index)
        with self._lock:
            new = name not in self._reasons
            reason = self._reasons.setdefault(name, error.reason)
            count = len(self._reasons)
            if count > self.limit:
                if new:
                    _LOGGER.warning(
                        "Found an unreadable image, over the limit of %d: %s (%s)",
                        self.limit,
                        name,
                        reason,
                    )
                raise TooManyUnreadableImagesError(self._reasons, self.limit) from error
            if new:
                _LOGGER.warning(
                    "Skipped an unreadable image, the %s of at most %d: %s (%s)",
                    _ordinal(count),
                    self.limit,
                    name,
                    reason,
                )


def _cycle(indices: range | np.ndarray, start: int) -> Iterator[int]:
    """Yield each index once, from a place on."""
    for place in range(start, start + len(indices)):
        yield int(indices[place % len(indices)])


def _named(reasons: Mapping[str, str]) -> str:
    """Join the first names and their reasons."""
    named = [f"{name} ({reason})" for name, reason in reasons.items()]
    more = len(named) - _NAMES_IN_AN_ERROR
    rest = f"; and {more} more" if more > 0 else ""
    return "; ".join(named[:_NAMES_IN_AN_ERROR]) + rest + "."


def _ordinal(number: int) -> str:
    suffixes = {1: "st", 2: "nd", 3: "rd"}
    suffix = "th" if number % 100 in (11, 12, 13) else suffixes.get(number % 10, "th")
    return f"{number}{suffix}"
