"""Label maps of photographs, and their comparison with the truth, on the device."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from carafe_jax.models.segmentation import SegmentationNetwork
from carafe_jax.tasks.padded_images import normalised_images
from carafe_jax.tasks.segmentation.label_maps import label_maps
from carafe_jax.train import Variables

Predict = Callable[[Variables, Mapping[str, Any]], UInt8[Array, "n h w"]]
"""Function of a network's variables and a test batch that returns the class of each
pixel of the photographs, at the shape of the batch's labels."""


def predictions_of(
    network: SegmentationNetwork,
    *,
    dtype: str,
    align_corners: bool,
    flip: bool = False,
) -> Predict:
    """Return the function from variables and test batches to label maps.

    Args:
      network: Network of normalised images.
      dtype: Dtype of the images that it takes.
      align_corners: Whether logits are resized with aligned corners.
      flip: Whether the mirror images are views as well.
    """

    def logits_of(
        variables: Variables, images: UInt8[Array, "n h w 3"]
    ) -> Float[Array, "n oh ow k"]:
        n, height, width = images.shape[:3]
        whole = jnp.broadcast_to(jnp.array([height, width]), (n, 2))
        normalised = normalised_images(images, whole, dtype=dtype)
        logits: Any = network.apply(variables, normalised)
        return logits

    def predict(
        variables: Variables, batch: Mapping[str, Any]
    ) -> UInt8[Array, "n h w"]:
        views = [jnp.asarray(images) for images in batch["images"]]
        logits = [logits_of(variables, images) for images in views]
        if flip:
            mirrored = [logits_of(variables, images[:, :, ::-1]) for images in views]
            logits += [each[:, :, ::-1] for each in mirrored]
        return label_maps(
            logits,
            batch["label_size"],
            shape=batch["label"].shape[1:],
            align_corners=align_corners,
        )

    return predict


def confusion_matrices(
    labels: UInt8[Array, "n h w"], predicted: UInt8[Array, "n h w"], *, classes: int
) -> Int[Array, "n k k"]:
    """Return the confusion matrix of each image, as `metrics.confusion_matrix`.

    Labels beyond the classes are ignored.
    """

    def one(
        labels: UInt8[Array, "h w"], predicted: UInt8[Array, "h w"]
    ) -> Int[Array, "k k"]:
        pair = labels.astype(jnp.int32) * classes + predicted
        # The last place counts ignored pixels.
        place = jnp.where(labels < classes, pair, classes**2).ravel()
        counts = jnp.zeros(classes**2 + 1, jnp.int32).at[place].add(1)
        return counts[:-1].reshape(classes, classes)

    return jax.vmap(one)(labels, predicted)
