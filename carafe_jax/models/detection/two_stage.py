"""The parts that two-stage detectors share: features, anchors, and the box head."""

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError
from carafe_jax.models.detection.detections import BoxPredictions
from carafe_jax.models.detection.proposals import Proposals, propose
from carafe_jax.models.detection.rpn import RPNOutputs
from carafe_jax.models.detection.settings import (
    STRIDES,
    AnchorSettings,
    DetectionSettings,
    ProposalSettings,
    RoISettings,
)
from carafe_jax.ops.anchors import anchor_grid
from carafe_jax.ops.boxes import Boxes
from carafe_jax.ops.roi_align import roi_align
from carafe_jax.ops.sharding import run_per_device

Pyramid = Sequence[Float[Array, "n _ _ c"]]


class TwoStageDetector(nn.Module):
    """Base of `FasterRCNN` and `MaskRCNN`, whose steps can be applied one by one.

    Images are resized, normalised and padded. Batch norm is in evaluation mode, in
    training too, as in mmdetection.

    Attributes:
      backbone: Network that returns the maps c2 to c5, as `carafe_jax.models.ResNet`.
      fpn: Network that makes P2 to P6 of them, as `FPN`.
      rpn: Head that scores the anchors of each map, as `RPNHead`.
      box_head: Head that classifies regions of 7 x 7 bins, as `BoxHead`.
      anchors: Shapes of the anchors.
      proposals: Selection of the proposals.
      rois: Pooling of the proposals.
      detections: Selection of the detections.
    """

    backbone: nn.Module
    fpn: nn.Module
    rpn: nn.Module
    box_head: nn.Module
    anchors: AnchorSettings = dataclasses.field(default=AnchorSettings(), kw_only=True)
    proposals: ProposalSettings = dataclasses.field(
        default=ProposalSettings(), kw_only=True
    )
    rois: RoISettings = dataclasses.field(default=RoISettings(), kw_only=True)
    detections: DetectionSettings = dataclasses.field(
        default=DetectionSettings(), kw_only=True
    )

    def extract(self, images: Float[Array, "n h w 3"]) -> tuple[Array, ...]:
        """Return the feature maps P2 to P6 of normalised images."""
        return tuple(self.fpn(self.backbone(images, False), False))

    def score_anchors(self, pyramid: Pyramid) -> list[RPNOutputs]:
        """Return the logit and the deltas of every anchor, for each map."""
        return [self.rpn(x) for x in pyramid]

    def anchor_boxes(self, pyramid: Pyramid) -> list[Float[Array, "_ 4"]]:
        """Return the anchors of each map, in pixels of the images."""
        return [
            anchor_grid(
                x.shape[1:3],
                stride=stride,
                scale=self.anchors.scale,
                ratios=self.anchors.ratios,
                dtype=x.dtype,
            )
            for x, stride in zip(pyramid, STRIDES, strict=True)
        ]

    def propose(self, pyramid: Pyramid, image_sizes: Float[Array, "n 2"]) -> Proposals:
        """Return the proposals of a batch, in pixels of the images."""
        return propose(
            self.score_anchors(pyramid),
            image_sizes,
            anchors=self.anchor_boxes(pyramid),
            settings=self.proposals,
        )

    def classify(self, pyramid: Pyramid, boxes: Boxes) -> BoxPredictions:
        """Return the outputs of the box head for (n, r) boxes."""
        regions = self.pool(pyramid, boxes, size=self.rois.box_size)
        logits, deltas = self.box_head(regions)
        return BoxPredictions(unflatten(logits, boxes), unflatten(deltas, boxes))

    def pool(
        self, pyramid: Pyramid, boxes: Boxes, *, size: int
    ) -> Float[Array, "m size size c"]:
        """Return the features of the boxes of all images, from P2 to P5."""
        align = functools.partial(
            roi_align,
            strides=STRIDES[:4],
            output_size=size,
            finest_scale=self.rois.finest_scale,
        )
        pooled = run_per_device(align, tuple(pyramid)[:4], boxes).features
        return pooled.reshape(-1, *pooled.shape[2:])


def unflatten(x: Array, boxes: Boxes) -> Array:
    """Return the outputs of a head with the axes of images and of boxes."""
    return x.reshape(*boxes.valid.shape, *x.shape[1:])


def checked_sizes(images: Array, image_sizes: Array) -> Float[Array, "n 2"]:
    """Return the sizes of the images as floats; raise unless there is one for each."""
    sizes = jnp.asarray(image_sizes)
    if sizes.shape != (images.shape[0], 2):
        raise RefusedError(
            "`image_sizes` must hold (height, width) of each image, of shape "
            f"{(images.shape[0], 2)}, got {sizes.shape}."
        )
    return sizes.astype(jnp.promote_types(images.dtype, jnp.float32))
