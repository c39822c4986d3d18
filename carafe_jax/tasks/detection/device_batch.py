"""Batches on the device: normalised images and masks of one byte a pixel."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, DTypeLike

from carafe_jax.errors import no_type_check
from carafe_jax.ops.boxes import Boxes
from carafe_jax.tasks.detection.batch import DetectionBatch, GroundTruth
from carafe_jax.tasks.padded_images import normalised_images as normalised_images


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
