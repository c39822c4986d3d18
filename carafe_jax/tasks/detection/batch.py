"""Training batches of detection."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, UInt8

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.boxes import Boxes


@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Objects of each image, padded at the end to a fixed number."""

    boxes: Boxes
    """(n, g) boxes in pixels of the images."""
    classes: Int[Array, "n g"]
    """Indices of the classes."""
    masks: UInt8[Array, "n g h w"] | None = None
    """Masks over the padded images, 0 or 1. None: boxes alone."""


@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionBatch:
    """Images with their objects."""

    images: Float[Array, "n h w 3"]
    """Normalised images, padded with zeros at the bottom and right."""
    image_sizes: Int[Array, "n 2"]
    """(height, width) of each image without its padding."""
    padded_sizes: Int[Array, "n 2"]
    """(height, width) that each image alone would be padded to; anchors beyond are not
    trained."""
    truth: GroundTruth
    weights: Float[Array, "n"]
    """1 for images, 0 for those that fill an incomplete batch."""


@no_type_check
def checked_batch(
    batch: DetectionBatch, *, classes: int, masks: bool
) -> DetectionBatch:
    """Return a batch of JAX arrays, or refuse it.

    Args:
      batch: Images with their objects.
      classes: Number of classes of the detector.
      masks: Whether the detector has masks.

    Raises:
      RefusedError: An array has another shape or type, or, outside of compiled
        programs, classes that are out of range or boxes that are not finite.
    """
    holds = isinstance(batch, DetectionBatch)
    check("batch", type(batch).__name__, "be a DetectionBatch", holds=holds)
    batch = jax.tree.map(_as_jax, batch)
    images, truth = batch.images, batch.truth
    if (
        images.ndim != 4
        or images.shape[-1] != 3
        or not jnp.issubdtype(images.dtype, jnp.floating)
    ):
        raise RefusedError(
            "`images` must be floating of shape (n, h, w, 3), got "
            f"{images.dtype} of shape {images.shape}."
        )
    n, height, width, _ = images.shape
    coordinates = jnp.asarray(truth.boxes.coordinates)
    valid = jnp.asarray(truth.boxes.valid)
    slots = valid.shape[-1:]
    expected: dict[str, tuple[Array, tuple[int, ...], type]] = {
        "image_sizes": (batch.image_sizes, (n, 2), jnp.integer),
        "padded_sizes": (batch.padded_sizes, (n, 2), jnp.integer),
        "weights": (batch.weights, (n,), jnp.floating),
        "truth.boxes.valid": (valid, (n, *slots), jnp.bool_),
        "truth.boxes.coordinates": (coordinates, (n, *slots, 4), jnp.floating),
        "truth.classes": (truth.classes, (n, *slots), jnp.integer),
    }
    if masks:
        if truth.masks is None:
            raise RefusedError("`truth.masks` must be given to train masks, got None.")
        shape = (n, *slots, height, width)
        expected["truth.masks"] = (truth.masks, shape, jnp.uint8)
    for name, (array, shape, dtype) in expected.items():
        _check_array(name, array, shape, dtype)
    if slots == (0,):
        raise RefusedError("`truth` must have at least one slot for objects, got 0.")
    _check_classes(truth, classes)
    _check_boxes(truth.boxes)
    return batch


def _as_jax(x: Array | np.ndarray) -> Array:
    return jnp.asarray(x)


@no_type_check
def _check_array(name: str, x: Array, shape: tuple[int, ...], dtype: type) -> None:
    if x.shape != shape or not jnp.issubdtype(x.dtype, dtype):
        raise RefusedError(
            f"`{name}` must be {dtype.__name__} of shape {shape}, to match `images`, "
            f"got {x.dtype} of shape {x.shape}."
        )


@no_type_check
def _check_classes(truth: GroundTruth, classes: int) -> None:
    """Raise for classes that are out of range, if they are known: not in a program."""
    if isinstance(truth.classes, Tracer):
        return
    wrong = (truth.classes < 0) | (truth.classes >= classes)
    wrong &= jnp.asarray(truth.boxes.valid)
    if wrong.any():
        raise RefusedError(
            f"`truth.classes` must be in [0, {classes}), the classes of `box_head`, "
            f"got {np.unique(truth.classes[wrong]).tolist()}."
        )


@no_type_check
def _check_boxes(boxes: Boxes) -> None:
    """Raise for boxes that are not finite, if they are known, as for classes."""
    if isinstance(boxes.coordinates, Tracer):
        return
    given = boxes.coordinates[jnp.asarray(boxes.valid)]
    wrong = ~jnp.isfinite(given).all(-1)
    if wrong.any():
        raise RefusedError(
            "`truth.boxes.coordinates` must be finite where `truth.boxes.valid`, got "
            f"{given[wrong][0].tolist()}."
        )
