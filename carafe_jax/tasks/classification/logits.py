"""Logits of images in [0, 255]."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD
from carafe_jax.models import Classifier
from carafe_jax.train import Variables

Logits = Callable[[Variables, Any], Float[Array, "n k"]]
"""Function that maps a network's variables and images, RGB in [0, 255], to logits."""


def logits_of(network: Classifier, *, dtype: str) -> Logits:
    """Return the function from variables and images to logits.

    Args:
      network: Classifier of normalised images.
      dtype: Dtype of the images that it takes.
    """

    def logits(
        variables: Variables, image: Num[Array | np.ndarray, "n h w 3"]
    ) -> Float[Array, "n k"]:
        output: Any = network.apply(variables, normalize(image).astype(dtype))
        return output

    return logits


def normalize(image: Num[Array | np.ndarray, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Return images normalised by ImageNet's statistics, in float32."""
    mean, std = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_STD)
    return (jnp.asarray(image, jnp.float32) - mean) / std
