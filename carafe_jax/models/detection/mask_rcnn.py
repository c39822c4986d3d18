"""Mask R-CNN (arXiv:1703.06870) on a feature pyramid."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.detection.detections import (
    BoxPredictions,
    Detections,
    detect,
    divide_boxes,
)
from carafe_jax.models.detection.two_stage import (
    Pyramid,
    TwoStageDetector,
    checked_factors,
    checked_sizes,
    unflatten,
)
from carafe_jax.ops.boxes import Boxes


class InstanceDetections(NamedTuple):
    """Objects of each image with their masks."""

    detections: Detections
    """Boxes in pixels of the files."""
    masks: Float[Array, "n d h w"]
    """Probabilities of the masks, over the boxes; `carafe_jax.ops.paste_masks` pastes
    them into the image."""


@no_type_check
class MaskRCNN(TwoStageDetector):
    """Faster R-CNN with a head that predicts the mask of each detection.

    Fields and steps are those of `TwoStageDetector`, and `mask_head`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import ResNet50
      >>> from carafe_jax.models.detection import (
      ...     FPN, BoxHead, MaskHead, MaskRCNN, RPNHead
      ... )
      >>> heads = RPNHead(), BoxHead(classes=80), MaskHead(classes=80)
      >>> detector = MaskRCNN(ResNet50(), FPN(), *heads)
      >>> images = jnp.zeros((2, 128, 160, 3))
      >>> sizes = jnp.array([[128, 160], [96, 128]])  # Without the padding.
      >>> variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
      >>> jax.eval_shape(detector.apply, variables, images, sizes).masks.shape
      (2, 100, 28, 28)

    Attributes:
      mask_head: Head that returns the masks of regions of 14 x 14 bins, as `MaskHead`.
    """

    mask_head: nn.Module

    def __call__(
        self,
        images: Float[Array, "n h w 3"],
        image_sizes: Array,
        scale_factors: Array | None = None,
    ) -> InstanceDetections:
        """Return the detections of a batch and their masks.

        Boxes are divided by the scale factors after the non-maximum suppression, as in
        mmdetection.

        Args:
          images: Normalised images, padded with zeros at the bottom and right.
          image_sizes: (n, 2): height and width of each image without its padding.
          scale_factors: (n, 2): width and height of each image divided by those of its
            file (default: 1).

        Raises:
          RefusedError: An argument has a wrong shape, or the parts do not fit.
        """
        sizes = checked_sizes(images, image_sizes)
        factors = checked_factors(images, scale_factors)
        pyramid = self.extract(images)
        proposals = self.propose(pyramid, sizes)
        outputs = self.classify(pyramid, proposals.boxes)
        detections = detect(
            outputs,
            proposals.boxes,
            image_sizes=sizes,
            settings=self.detections,
        )
        logits = self.segment(pyramid, detections.boxes)
        check_classes(logits, outputs)
        masks = jax.nn.sigmoid(masks_of_classes(logits, detections.classes))
        if factors is not None:
            boxes = detections.boxes
            coordinates = jnp.asarray(boxes.coordinates)
            coordinates = divide_boxes(coordinates, factors[:, None])
            detections = detections._replace(boxes=Boxes(coordinates, boxes.valid))
        return InstanceDetections(detections, masks)

    def segment(self, pyramid: Pyramid, boxes: Boxes) -> Float[Array, "n r h w k"]:
        """Return the logits of the mask of each class, for (n, r) boxes."""
        regions = self.pool(pyramid, boxes, size=self.rois.mask_size)
        return unflatten(self.mask_head(regions), boxes)


def check_classes(masks: Float[Array, "n r h w k"], boxes: BoxPredictions) -> None:
    """Raise unless both heads have the same classes."""
    expected, actual = boxes.deltas.shape[2], masks.shape[-1]
    if actual != expected:
        raise RefusedError(
            f"`mask_head` must have the {expected} classes of `box_head`, got {actual}."
        )


def masks_of_classes(
    logits: Float[Array, "n r h w k"], classes: Int[Array, "n r"]
) -> Float[Array, "n r h w"]:
    """Return the logits of the mask of one class of each box."""
    index = classes[..., None, None, None]
    return jnp.take_along_axis(logits, index, axis=-1)[..., 0]
