"""Prediction for photographs of any size, in batches of one size."""

import hashlib
import itertools
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar, cast

import jax
import numpy as np
from jaxtyping import UInt8

from carafe_jax.arguments import check_count
from carafe_jax.data import UnreadableImageError, decode_image, open_image
from carafe_jax.errors import RefusedError
from carafe_jax.train import Variables

_WINDOW = 4  # Batches that are read together, so that images of a size can meet.
Prepared = TypeVar("Prepared")
Predicted = TypeVar("Predicted")


class BatchPredictor(Generic[Prepared, Predicted]):
    """Predicts for many photographs, those of one size in batches."""

    def __init__(
        self,
        *,
        prepare: Callable[[Any], Prepared],
        size: Callable[[Prepared], Hashable],
        predict: Callable[[Sequence[Prepared]], Iterable[Predicted]],
    ) -> None:
        """Read no photograph yet.

        Args:
          prepare: Function that reads and resizes a photograph. Threads call it.
          size: Function that returns all sizes that the members of a batch share.
          predict: Function from the members of a batch, of one size, to one result
            each. Copies of the last photograph may fill the batch; their results are
            not taken.
        """
        self._prepare, self._size, self._predict = prepare, size, predict

    def one(self, photograph: Any) -> Predicted:
        """Return the result of a photograph, in a batch of its own.

        Raises:
          UnreadableImageError: The file cannot be read.
        """
        return next(iter(self._predict([self._prepare(photograph)])))

    def all(
        self, photographs: Iterable[Any], *, batch_size: int
    ) -> Iterator[Predicted | UnreadableImageError]:
        """Return an iterator over the results, in the order of the photographs.

        A few batches of prepared photographs are in memory at a time.

        Args:
          photographs: As `prepare` takes them.
          batch_size: Photographs per batch.

        Returns:
          The result of each photograph; for a file that cannot be read, its error.

        Raises:
          RefusedError: `batch_size` is not positive.
        """
        check_count("batch_size", batch_size)
        return self._results(iter(photographs), batch_size)

    def _results(
        self, photographs: Iterator[Any], batch_size: int
    ) -> Iterator[Predicted | UnreadableImageError]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while window := list(itertools.islice(photographs, _WINDOW * batch_size)):
                outcomes: list[Any] = list(pool.map(self._prepare_or_error, window))
                for group in self._batches(outcomes, batch_size):
                    # Copies fill the batch, so that only one size is compiled.
                    filled = [*group, *[group[-1]] * (batch_size - len(group))]
                    predicted = self._predict([outcomes[index] for index in filled])
                    for index, found in zip(group, predicted, strict=False):
                        outcomes[index] = found
                yield from outcomes

    def _prepare_or_error(self, photograph: Any) -> Prepared | UnreadableImageError:
        try:
            return self._prepare(photograph)
        except UnreadableImageError as error:
            return error

    def _batches(self, prepared: Sequence[Any], batch_size: int) -> list[list[int]]:
        """Return the indices of the members of each batch."""
        groups: dict[Hashable, list[int]] = {}
        for index, each in enumerate(prepared):
            if not isinstance(each, UnreadableImageError):
                groups.setdefault(self._size(each), []).append(index)
        return [
            group[start : start + batch_size]
            for group in groups.values()
            for start in range(0, len(group), batch_size)
        ]


def read_pixels(photograph: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels of an array or of an image file, which is turned upright.

    Raises:
      RefusedError: The array is not uint8 of shape (h, w, 3).
      UnreadableImageError: The file cannot be read.
    """
    if isinstance(photograph, str | os.PathLike):
        with open_image(cast("str | os.PathLike[str]", photograph)) as file:
            return decode_image(file)
    array = np.asarray(photograph)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise RefusedError(
            "`photograph` must be uint8 of shape (h, w, 3), or a path, got "
            f"{array.dtype} of shape {array.shape}."
        )
    return array


def weights_digest(variables: Variables) -> str:
    """Return a number of 64 bits that differs between weights, in hexadecimal."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(jax.device_get(variables)):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
