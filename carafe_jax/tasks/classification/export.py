"""Export of a trained classifier to one file that runs without carafe-jax."""

from typing import Literal

import jax
import jax.export
import jax.numpy as jnp

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.prediction import TrainedClassifier
from carafe_jax.tasks.exported_program import Platform, serialised_program


def export(
    trained: TrainedClassifier,
    *,
    platform: Platform,
    batch_size: int | None,
    size: Literal["any"] | None = None,
) -> bytearray:
    """Return the serialised program that maps images, RGB in [0, 255], to logits.

    Args:
      trained: The classifier.
      platform: Platform that the program runs on.
      batch_size: Images per batch. None: any number.
      size: "any": images may have any height and width. None: they have those of the
        run's test images.

    Raises:
      RefusedError: An argument is invalid; or the kernels of the platform cannot be
        exported, or not for images of any size.
      MissingExtraError: flatbuffers is not installed.
    """
    if size not in ("any", None):
        raise RefusedError(f"`size` must be 'any' or None, got {size!r}.")
    if size == "any" and batch_size is not None:
        raise RefusedError(
            "`batch_size` must be None where `size` is 'any': such a program is plain "
            f"JAX, which takes any batch; got {batch_size}."
        )
    if platform == "cuda" and batch_size is not None:
        raise RefusedError(
            "`batch_size` must be None for the platform 'cuda': JAX guarantees no "
            "compatibility of exported GPU kernels, and a program for any batch size "
            f"is plain JAX; got {batch_size}."
        )
    if batch_size is not None and batch_size < 1:
        raise RefusedError(f"`batch_size` must be positive or None, got {batch_size}.")
    any_n, any_height, any_width = jax.export.symbolic_shape("n, h, w")
    n = any_n if batch_size is None else batch_size
    side = trained.data.image_size
    height, width = (any_height, any_width) if size == "any" else (side, side)
    image = jax.ShapeDtypeStruct((n, height, width, 3), jnp.uint8)
    return serialised_program(trained.logits, image, platform=platform)
