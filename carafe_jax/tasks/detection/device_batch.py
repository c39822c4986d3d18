"""Batches on the device: normalised images and masks of one byte a pixel."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, DTypeLike

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD
from carafe_jax.errors import no_type_check
from carafe_jax.ops.boxes import Boxes
from carafe_jax.tasks.detection.batch import DetectionBatch, GroundTruth


@no_type_check
def device_batch(batch: Mapping[str, Array], *, dtype: DTypeLike) -> DetectionBatch:
    """Return a training batch as the loss takes it; to be traced by JAX.

    Args:
      batch: Arrays of a `DetectionTrainingBatch`.
      dtype: Of the normalised images.
    """
    masks = batch.get("masks")
    return DetectionBatch(
        images=normalised_images(batch["image"], batch["image_size"], dtype=dtype),
        image_sizes=batch["image_size"],
        padded_sizes=batch["padded_size"],
        truth=GroundTruth(
            boxes=Boxes(batch["box"], batch["object"]),
            classes=batch["label"],
            masks=None if masks is None else jnp.unpackbits(masks, axis=-1),
        ),
        weights=batch["weight"],
    )


@no_type_check
def normalised_images(images: Array, sizes: Array, *, dtype: DTypeLike) -> Array:
    """Return images with the colours of ImageNet normalised, and zeros in the padding.

    Args:
      images: (n, h, w, 3) RGB in [0, 255].
      sizes: (n, 2) height and width of each image without its padding.
      dtype: Of the result; the computation is in float32.
    """
    mean, std = (jnp.array(x, jnp.float32) for x in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (images.astype(jnp.float32) - mean) / std
    rows = jnp.arange(images.shape[1]) < sizes[:, :1]
    columns = jnp.arange(images.shape[2]) < sizes[:, 1:]
    inside = rows[:, :, None] & columns[:, None, :]
    return jnp.where(inside[..., None], normalised, 0).astype(dtype)
