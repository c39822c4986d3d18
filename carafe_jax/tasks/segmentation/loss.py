"""Loss of segmentation networks on a training batch."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Int, Integer, Key

from carafe_jax.arguments import check_choice
from carafe_jax.data import IGNORED_LABEL
from carafe_jax.errors import no_type_check
from carafe_jax.losses import pixel_loss
from carafe_jax.models.segmentation import SegmentationNetwork, SegmentationOutputs
from carafe_jax.nn import resize_bilinear
from carafe_jax.tasks.padded_images import normalised_images
from carafe_jax.train import Variables

LabelsAt = Literal["first", "centre", "image"]
AUXILIARY_WEIGHT = 0.4
"""Weight of the auxiliary loss, as in semseg and CSAIL's code."""


class SegmentationLosses(NamedTuple):
    """Losses of a batch, weighted means over the pixels that are not ignored."""

    classes: Float[Array, ""]
    """Cross-entropy of the logits."""
    auxiliary: Float[Array, ""] | None
    """That of the auxiliary head. None: the network has none."""
    accuracy: Float[Array, ""]
    """Fraction of the pixels whose class is right, without weights."""
    weight: Float[Array, ""]
    """Sum of the weights of the pixels that `classes` is a mean over."""
    collections: Variables
    """Updated collections, such as "batch_stats"."""

    @property
    def total(self) -> Float[Array, ""]:
        """The sum to minimise."""
        if self.auxiliary is None:
            return self.classes
        return self.classes + AUXILIARY_WEIGHT * self.auxiliary


# Our own error for an unknown choice is clearer.
@no_type_check
def segmentation_losses(
    network: SegmentationNetwork,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    *,
    dtype: DTypeLike,
    labels_at: LabelsAt,
    align_corners: bool = False,
    class_weights: Sequence[float] | None = None,
) -> SegmentationLosses:
    """Return the losses of a batch; to be traced by JAX.

    The means are over all pixels of the batch. CSAIL's code averages on each device,
    then over the devices, which differs where devices count different numbers of
    pixels.

    Args:
      network: Segmentation network.
      variables: Variables of the network.
      batch: Arrays of a training batch: images, their sizes, and labels.
      key: Key of the dropout.
      dtype: Of the normalised images.
      labels_at: Pixels that are compared. "first": at the stride s of the logits,
        every s-th row and column of the labels, from the first on, as in CSAIL's code
        of early 2019; "centre": from the middle one on, s // 2, as in its later
        versions, where a logit stands for its pixels when it is resized. "image": all;
        the logits are resized to the labels.
      align_corners: Whether they are resized with aligned corners, as in semseg.
      class_weights: Weights of the classes, as for `pixel_loss`.

    Raises:
      RefusedError: `labels_at` is unknown, or there is another number of weights than
        of classes.
    """
    check_choice("labels_at", labels_at, get_args(LabelsAt))
    images = normalised_images(batch["image"], batch["image_size"], dtype=dtype)
    found: Any = network.apply(
        variables,
        images,
        True,
        mutable=["batch_stats"],
        rngs={"dropout": key},
        method="outputs",
    )
    outputs: SegmentationOutputs = found[0]
    labels = jnp.asarray(batch["label"])
    aligned = functools.partial(
        _aligned, labels_at=labels_at, align_corners=align_corners
    )
    logits, own = aligned(outputs.logits, labels)
    pixels = functools.partial(
        pixel_loss, ignored=IGNORED_LABEL, class_weights=class_weights
    )
    loss = pixels(logits, own)
    right = (logits.argmax(-1) == own).sum()
    counted = (own < logits.shape[-1]) & (own != IGNORED_LABEL)
    auxiliary = None
    if outputs.auxiliary_logits is not None:
        logits, own = aligned(outputs.auxiliary_logits, labels)
        auxiliary = pixels(logits, own).mean
    return SegmentationLosses(
        classes=loss.mean,
        auxiliary=auxiliary,
        accuracy=right / jnp.maximum(counted.sum(), 1),
        weight=loss.weight,
        collections=dict(found[1]),
    )


def _aligned(
    logits: Float[Array, "n oh ow k"],
    labels: Integer[Array, "n h w"],
    *,
    labels_at: LabelsAt,
    align_corners: bool,
) -> tuple[Float[Array, "n lh lw k"], Integer[Array, "n lh lw"]]:
    """Return logits and labels at one size."""
    if labels_at == "image":
        size = labels.shape[1:]
        resized = resize_bilinear(logits, size=size, align_corners=align_corners)
        return resized, labels
    rows, columns = (
        _compared(side, length, labels_at)
        for side, length in zip(labels.shape[1:], logits.shape[1:3], strict=True)
    )
    return logits, labels[:, rows][:, :, columns]


def _compared(side: int, length: int, labels_at: LabelsAt) -> Int[np.ndarray, "length"]:
    """Return the rows of labels that are compared with those of logits."""
    # The strides of networks are powers of two, which odd sides hide: 49 / 8 gives 7.
    stride = 1 << (-(-side // length) - 1).bit_length()
    start = stride // 2 if labels_at == "centre" else 0
    return np.minimum(start + stride * np.arange(length), side - 1)
