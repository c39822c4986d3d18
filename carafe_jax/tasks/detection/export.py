"""Export of a trained detector to one file that runs without carafe-jax."""

import importlib.util
from typing import Literal

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array

from carafe_jax.arguments import check_count
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.tasks.detection.prediction import TrainedDetector
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR

Platform = Literal["cpu", "tpu", "cuda"]


def export(
    trained: TrainedDetector,
    *,
    platform: Platform = "cpu",
    batch_size: int = 1,
    size: tuple[int, int] | None = None,
) -> bytearray:
    """Return the serialised program that detects objects in images of one size.

    The program is called with images, uint8 (n, h, w, 3), RGB with zeros at the bottom
    and right; their heights and widths without the zeros, int32 (n, 2); and the factors
    of width and height by which the photographs were resized, float32 (n, 2). It
    returns what `TrainedDetector.predict` does.

    Args:
      trained: The detector.
      platform: Platform that the program runs on, "cpu" or "tpu".
      batch_size: Images per batch, n.
      size: Height and width of the images, multiples of 64. None: those of the largest
        landscape images of the run.

    Raises:
      RefusedError: An argument is invalid.
      MissingExtraError: flatbuffers is not installed.
    """
    if platform == "cuda":
        raise RefusedError(
            f"`platform` must be 'cpu' or 'tpu' for a detector, got {platform!r}: JAX "
            "guarantees no compatibility of exported GPU kernels."
        )
    check_count("batch_size", batch_size)
    height, width = checked_size(trained, size)
    if importlib.util.find_spec("flatbuffers") is None:
        raise MissingExtraError(
            "Exporting needs flatbuffers: pip install 'carafe-jax[export]'."
        )

    def detect(image: Array, image_size: Array, scale_factor: Array):
        return trained.predict(
            {"image": image, "image_size": image_size, "scale_factor": scale_factor}
        )

    pairs = (batch_size, 2)
    program = jax.export.export(jax.jit(detect), platforms=[platform])(
        jax.ShapeDtypeStruct((batch_size, height, width, 3), jnp.uint8),
        jax.ShapeDtypeStruct(pairs, jnp.int32),
        jax.ShapeDtypeStruct(pairs, jnp.float32),
    )
    return program.serialize()


def checked_size(
    trained: TrainedDetector, size: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the size of the images of an exported program.

    Raises:
      RefusedError: A side is not a positive multiple of 64.
    """
    if size is None:
        height, width = trained.data.bucket_sizes[-1]
        return height, width
    if min(size) < 1 or any(side % SIZE_DIVISOR for side in size):
        raise RefusedError(
            f"`size` must be two positive multiples of {SIZE_DIVISOR} for a detector, "
            f"got {size}."
        )
    return size
