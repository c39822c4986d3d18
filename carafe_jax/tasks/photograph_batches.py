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
        predict: Callable[[Sequence[Prepared]], Sequence[Predicted]],
    ) -> None:
        """Read no photograph yet.

        Args:
          prepare: Function that reads and resizes a photograph. Threads call it.
          size: Function that returns all sizes that the members of a batch share.
          predict: Function from the members of a batch, of one size, to one result
            each. It gets at most `batch_size` of them.
        """
        self._prepare, self._size, self._predict = prepare, size, predict

    def __call__(
        self, photographs: Iterable[Any], *, batch_size: int
    ) -> Iterator[Predicted | UnreadableImageError]:
        """Yield the results in the order of the photographs.

        A few batches of prepared photographs are in memory at a time.

        Args:
          photographs: As `prepare` takes them.
          batch_size: Photographs per batch.

        Yields:
          The result of a photograph; for a file that cannot be read, its error.
        """
        photographs = iter(photographs)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while window := list(itertools.islice(photographs, _WINDOW * batch_size)):
                outcomes: list[Any] = list(pool.map(self._prepare_or_error, window))
                for group in self._batches(outcomes, batch_size):
                    predicted = self._predict([outcomes[index] for index in group])
                    for index, found in zip(group, predicted, strict=True):
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
