"""Names the classes of images of any size with a trained network."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, UInt8
from PIL import Image

from carafe_jax.data import decode_centre
from carafe_jax.models import Classifier
from carafe_jax.tasks.classification.data import ClassificationData
from carafe_jax.tasks.classification.task import normalize
from carafe_jax.train import Variables

Prediction = list[tuple[str, float]]
"""Names of classes and their probabilities, the likeliest first."""


@dataclasses.dataclass(frozen=True)
class TrainedClassifier:
    """A classifier with its variables, and what its images look like."""

    network: Classifier
    variables: Variables
    name: str
    """What the network is called in tables."""
    dtype: str
    classes: tuple[str, ...]
    data: ClassificationData
    step: int

    def logits(self, image: Num[Array | np.ndarray, "n h w 3"]) -> Float[Array, "n k"]:
        """Return the logits of images, RGB in [0, 255]."""
        return self.logits_of(self.variables, image)

    def logits_of(
        self, variables: Variables, image: Num[Array | np.ndarray, "n h w 3"]
    ) -> Float[Array, "n k"]:
        """Return the logits by other variables of the network."""
        pixels = normalize(image).astype(self.dtype)
        logits: Any = self.network.apply(variables, pixels)
        return logits

    def classify(
        self, image: UInt8[np.ndarray, "h w 3"] | pathlib.Path, *, count: int = 5
    ) -> Prediction:
        """Return the likeliest classes of an image of any size.

        The middle of the image is resized as the run's test images are.

        Args:
          image: RGB in [0, 255], or an image file.
          count: How many classes to return.

        Raises:
          OSError, ValueError: (or another of `carafe_jax.data.UNREADABLE`) The file
            cannot be read.
        """
        opened = (
            Image.open(image)
            if isinstance(image, pathlib.Path)
            else Image.fromarray(image)
        )
        with opened:
            pixels = decode_centre(
                opened, size=self.data.image_size, resize_size=self.data.resize_size
            )
        probabilities = np.asarray(self._probabilities(jnp.asarray(pixels[None]))[0])
        best = probabilities.argsort()[::-1][:count]
        return [(self.classes[i], float(probabilities[i])) for i in best]

    @functools.cached_property
    def _probabilities(self) -> Any:
        def probabilities(image: Array) -> Array:
            return jax.nn.softmax(self.logits(image))

        return jax.jit(probabilities)
