"""Label maps of photographs, and their comparison with the truth, on the device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from carafe_jax.models.segmentation import SegmentationNetwork
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.padded_images import normalised_images
from carafe_jax.tasks.segmentation.label_maps import label_maps
from carafe_jax.tasks.segmentation.sliding_windows import mean_over_windows
from carafe_jax.train import Variables

Predict = Callable[[Variables, Mapping[str, Any]], UInt8[Array, "n h w"]]
"""Function of a network's variables and a test batch that returns the class of each
pixel of the photographs, at the shape of the batch's labels."""
Images = Sequence[UInt8[Array | np.ndarray, "n _ _ 3"]]
"""Batches of resized photographs: one for each of their sizes."""
Logits = tuple[Float[Array, "n _ _ k"], ...]
"""Logits of all views of photographs."""


def logits_of(
    network: SegmentationNetwork, *, dtype: str, flip: bool = False
) -> Callable[[Variables, Images], Logits]:
    """Return the function from variables and resized photographs to logits.

    Args:
      network: Network of normalised images.
      dtype: Dtype of the images that it takes.
      flip: Whether the mirror image of each photograph is segmented as well.
    """

    def compute(variables: Variables, images: Images) -> Logits:
        logits: list[Array] = []
        for given in images:
            each = jnp.asarray(given)
            n, *size = each.shape[:3]
            whole = jnp.broadcast_to(jnp.array(size), (n, 2))
            normalised = normalised_images(each, whole, dtype=dtype)
            logits += _logits_of(network, variables, normalised, flip=flip)
        return tuple(logits)

    return compute


def label_maps_of(*, align_corners: bool, window: Size | None = None) -> Predict:
    """Return the function from test batches with logits to label maps.

    It does not depend on the network, so that it compiles quickly for each pair of
    sizes.

    Args:
      align_corners: Whether logits are resized with aligned corners.
      window: Size of the windows that the logits are of; the batches are then those of
        `with_window_logits`. None: they are those of `logits_of`.
    """
    if window is not None:
        return _label_maps_of_windows(window, align_corners=align_corners)

    def predict(
        variables: Variables, batch: Mapping[str, Any]
    ) -> UInt8[Array, "n h w"]:
        del variables  # The batch has the logits.
        return label_maps(
            batch["logits"],
            batch["label_size"],
            shape=batch["label"].shape[1:],
            align_corners=align_corners,
        )

    return predict


def window_logits_of(
    network: SegmentationNetwork, *, dtype: str, flip: bool
) -> Callable[[Variables, Mapping[str, Any]], Float[Array, "b f oh ow k"]]:
    """Return the function from variables and windows to the logits of each window.

    Args:
      network: Network of normalised images.
      dtype: Dtype of the images that it takes.
      flip: Whether the mirror image of each window is segmented as well.
    """

    def logits_of(
        variables: Variables, batch: Mapping[str, Any]
    ) -> Float[Array, "b f oh ow k"]:
        images = normalised_images(
            batch["image"],
            batch["image_size"],
            dtype=dtype,
            starts=batch["image_start"],
        )
        return jnp.stack(_logits_of(network, variables, images, flip=flip), axis=1)

    return logits_of


def _label_maps_of_windows(window: Size, *, align_corners: bool) -> Predict:
    def predict(
        variables: Variables, batch: Mapping[str, Any]
    ) -> UInt8[Array, "n h w"]:
        del variables  # The batch has the logits.
        probabilities = [
            mean_over_windows(
                jnp.asarray(logits),
                size=Size(*images.shape[1:3]),
                window=window,
                align_corners=align_corners,
            )
            for logits, images in zip(batch["logits"], batch["images"], strict=True)
        ]
        return label_maps(
            probabilities,
            batch["label_size"],
            shape=batch["label"].shape[1:],
            scores="probabilities",
        )

    return predict


def _logits_of(
    network: SegmentationNetwork,
    variables: Variables,
    images: Float[Array, "n h w 3"],
    *,
    flip: bool,
) -> list[Float[Array, "n oh ow k"]]:
    """Return the logits of images, and those of their mirror images, mirrored back."""
    own: Any = network.apply(variables, images)
    if not flip:
        return [own]
    mirrored: Any = network.apply(variables, images[:, :, ::-1])
    return [own, mirrored[:, :, ::-1]]


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
