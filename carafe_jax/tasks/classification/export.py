"""Exports a trained classifier as one file, to be run without this project."""

from typing import Literal

import jax
import jax.export
import jax.numpy as jnp

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.prediction import TrainedClassifier

Platform = Literal["cpu", "tpu", "cuda"]


def export(
    trained: TrainedClassifier,
    *,
    platform: Platform,
    batch_size: int | None,
) -> bytearray:
    """Return the serialised program from images, RGB in [0, 255], to logits.

    Raises:
      RefusedError: The platform's kernels cannot be written to a file.
    """
    if platform == "cuda" and batch_size is not None:
        raise RefusedError(
            "`batch_size` must be None for the platform 'cuda': JAX guarantees no "
            "compatibility of GPU kernels in files, and a batch of any size runs "
            f"plain JAX; got {batch_size}."
        )
    (n,) = (batch_size,) if batch_size else jax.export.symbolic_shape("n")
    side = trained.data.image_size
    image = jax.ShapeDtypeStruct((n, side, side, 3), jnp.uint8)
    program = jax.export.export(jax.jit(trained.logits), platforms=[platform])(image)
    return program.serialize()
