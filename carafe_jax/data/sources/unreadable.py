"""Policy for images that cannot be read.

An image is found to be unreadable when it is read, not before. It is then named in a
warning and counted, in each process that reads; exceeding a limit is an error, and so
is a source without a single image that can be read. In training, the next image that
can be read takes its place; in a test set, it has no example. Damaged files, pixels
without a known range and photographs that are too small are all unreadable: what raises
`UnreadableImageError`. Every other error ends the run.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from carafe_jax.data.decoding import UnreadableImageError
from carafe_jax.data.sources.images import NamedImages
from carafe_jax.errors import RefusedError

_LOGGER = logging.getLogger(__name__)
_NAMES_IN_AN_ERROR = 10

T = TypeVar("T")


class TooManyUnreadableImagesError(RefusedError):
    """More images are unreadable than `unreadable_limit` allows."""

    def __init__(self, reasons: Mapping[str, str], limit: int) -> None:
        """Name the first of the images, with the reasons."""
        self.reasons = dict(reasons)
        """Why each image is unreadable, by its name."""
        self.limit = limit
        super().__init__(
            f"`unreadable_limit` allows {limit} unreadable images, got "
            f"{len(self.reasons)}: {_named(self.reasons)}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reasons, self.limit), self.__dict__


@dataclasses.dataclass
class UnreadableImages:
    """Reader of a source, which names and counts the images that are unreadable.

    Several threads may read. A pickled copy, as other processes receive it, counts from
    zero.
    """

    images: NamedImages
    limit: int
    """Unreadable images that are allowed."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}
        self._any_readable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.images, self.limit)

    def read_or_next(self, index: int, read: Callable[[int], T]) -> T:
        """Return the example of an image, or of the first after it that can be read.

        Args:
          index: Index of the image. The first image follows the last.
          read: Makes the example of an index, or raises `UnreadableImageError`.

        Returns:
          The example.

        Raises:
          TooManyUnreadableImagesError: More than `limit` images are unreadable.
          RefusedError: Every image is unreadable.
        """
        count = len(self.images)
        for candidate in range(index, index + count):
            try:
                return self._read(candidate % count, read)
            except UnreadableImageError as error:
                self._count(candidate % count, error)
        raise RefusedError(
            f"`source` must hold images that can be read, got none among {count}: "
            f"{_named(self._reasons)}"
        )

    def read_or_none(self, index: int, read: Callable[[int], T]) -> T | None:
        """Return the example of an image, or None if it is unreadable.

        Args:
          index: Index of the image.
          read: As in `read_or_next`.

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
