"""Export of a trained detector to one file that runs without carafe-jax."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from carafe_jax.tasks.detection.prediction import TrainedDetector
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.tasks.exported_program import (
    Platform,
    check_fixed_program,
    serialised_program,
)


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
    check_fixed_program(
        platform=platform,
        batch_size=batch_size,
        size=size,
        size_divisor=SIZE_DIVISOR,
        kind="detector",
    )
    height, width = exported_size(trained, size)

    def detect(image: Array, image_size: Array, scale_factor: Array):
        return trained.predict(
            {"image": image, "image_size": image_size, "scale_factor": scale_factor}
        )

    pairs = (batch_size, 2)
    return serialised_program(
        detect,
        jax.ShapeDtypeStruct((batch_size, height, width, 3), jnp.uint8),
        jax.ShapeDtypeStruct(pairs, jnp.int32),
        jax.ShapeDtypeStruct(pairs, jnp.float32),
        platform=platform,
    )


def exported_size(
    trained: TrainedDetector, size: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the size of the images of an exported program."""
    if size is None:
        height, width = trained.data.bucket_sizes[-1]
        return height, width
    return size
