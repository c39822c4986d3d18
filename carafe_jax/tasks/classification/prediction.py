"""Classification of images of any size with a trained network."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, UInt8
from PIL import Image

from carafe_jax.arguments import check_count
from carafe_jax.data import UnreadableImageError, decode_centre, open_image
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models import Classifier
from carafe_jax.tasks.classification.data import ClassificationData
from carafe_jax.tasks.classification.logits import logits_of
from carafe_jax.train import Variables

Prediction = list[tuple[str, float]]
"""Class names and their probabilities, the most likely first."""


@dataclasses.dataclass(frozen=True)
class TrainedClassifier:
    """A trained classifier, with its variables, class names and data."""

    network: Classifier
    variables: Variables
    name: str
    """Name of the network in tables."""
    dtype: str
    classes: tuple[str, ...]
    data: ClassificationData
    step: int

    def logits(self, image: Num[Array | np.ndarray, "n h w 3"]) -> Float[Array, "n k"]:
        """Return the logits of images, RGB in [0, 255]."""
        return logits_of(self.network, dtype=self.dtype)(self.variables, image)

    @no_type_check
    def read(
        self, image: UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str]
    ) -> UInt8[np.ndarray, "s s 3"]:
        """Return the centre crop of an image, resized as the run's test images are.

        Args:
          image: RGB in [0, 255] of any size, or an image file.

        Raises:
          RefusedError: The array is not uint8 of shape (h, w, 3).
          UnreadableImageError: The file cannot be read.
        """
        if isinstance(image, str | os.PathLike):
            opened = open_image(image)
        else:
            opened = Image.fromarray(_checked(image))
        with opened:
            return decode_centre(
                opened, size=self.data.image_size, resize_size=self.data.resize_size
            )

    @no_type_check
    def classify(
        self,
        image: UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str],
        *,
        count: int = 5,
    ) -> Prediction:
        """Return the most likely classes of an image of any size.

        Args:
          image: RGB in [0, 255], or an image file, as for `read`.
          count: Number of classes to return.

        Raises:
          RefusedError: `count` is not positive.
          UnreadableImageError: As for `read`.
        """
        check_count("count", count)
        return self._most_likely(self.read(image)[None], count)[0]

    @no_type_check
    def classify_all(
        self,
        images: Iterable[UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str]],
        *,
        count: int = 5,
        batch_size: int = 16,
    ) -> Iterator[Prediction | UnreadableImageError]:
        """Return an iterator over the most likely classes of images, in batches.

        One batch of images is in memory at a time.

        Args:
          images: As `classify` takes them, of any sizes.
          count: Number of classes of each image.
          batch_size: Images per batch.

        Returns:
          The predictions in the order of the images; for a file that cannot be read,
          its error instead.

        Raises:
          RefusedError: `count` or `batch_size` is not positive, or an array is not
            uint8 of shape (h, w, 3).
        """
        check_count("count", count)
        check_count("batch_size", batch_size)
        return self._classify_all(iter(images), count, batch_size)

    def _classify_all(
        self, images: Iterator[Any], count: int, batch_size: int
    ) -> Iterator[Prediction | UnreadableImageError]:
        side = self.data.image_size
        rows = None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(images, batch_size)):
                read = list(pool.map(self._read_or_error, batch))
                # Pad the last batch, so that only one size is compiled.
                rows = rows or len(batch)
                pixels = np.zeros((rows, side, side, 3), np.uint8)
                for row, outcome in zip(pixels, read, strict=False):
                    if isinstance(outcome, np.ndarray):
                        row[...] = outcome
                named = self._most_likely(pixels, count)[: len(read)]
                for outcome, prediction in zip(read, named, strict=True):
                    if isinstance(outcome, UnreadableImageError):
                        yield outcome
                    else:
                        yield prediction

    def _read_or_error(self, image: Any) -> np.ndarray | UnreadableImageError:
        try:
            return self.read(image)
        except UnreadableImageError as error:
            return error

    def _most_likely(
        self, pixels: UInt8[np.ndarray, "n s s 3"], count: int
    ) -> list[Prediction]:
        """Return the most likely classes of images that `read` returned."""
        probabilities = np.asarray(self._probabilities(jnp.asarray(pixels)))
        likeliest = probabilities.argsort(-1)[:, ::-1][:, :count]
        return [
            [(self.classes[label], float(row[label])) for label in best]
            for row, best in zip(probabilities, likeliest, strict=True)
        ]

    @functools.cached_property
    def _probabilities(self) -> Any:
        def probabilities(image: Array) -> Array:
            return jax.nn.softmax(self.logits(image))

        return jax.jit(probabilities)


def _checked(image: np.ndarray) -> np.ndarray:
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise RefusedError(
            "`image` must be uint8 of shape (h, w, 3), or a path, got "
            f"{array.dtype} of shape {array.shape}."
        )
    return array
