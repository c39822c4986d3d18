"""The parts that two-stage detectors share: features, anchors, and the box head."""

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
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
from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.roi_align import roi_align
from carafe_jax.ops.sharding import run_per_device

Pyramid = Sequence[Float[Array, "n _ _ c"]]


# Our own errors for wrong parts and images are clearer.
@no_type_check
class TwoStageDetector(nn.Module):
    """Base of `FasterRCNN` and `MaskRCNN`, whose steps can be applied one by one.

    Images are resized, normalised and padded. Batch norms are in evaluation mode, in
    training too, as in mmdetection, unless `extract` is called with `train`.

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
    _: dataclasses.KW_ONLY
    anchors: AnchorSettings = AnchorSettings()
    proposals: ProposalSettings = ProposalSettings()
    rois: RoISettings = RoISettings()
    detections: DetectionSettings = DetectionSettings()

    def extract(
        self, images: Float[Array, "n h w 3"], train: bool = False
    ) -> tuple[Array, ...]:
        """Return the feature maps P2 to P6 of normalised images.

        Args:
          images: Normalised images, padded with zeros at the bottom and right.
          train: Whether the norms that are not frozen use the statistics of this batch.
        """
        if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
            raise RefusedError(
                "`images` must be floating of shape (n, h, w, 3), got "
                f"{images.dtype} of shape {images.shape}."
            )
        pyramid = tuple(self.fpn(self.backbone(images, train), train))
        _check_pyramid(pyramid, images)
        return pyramid

    def score_anchors(self, pyramid: Pyramid) -> list[RPNOutputs]:
        """Return the logit and the deltas of every anchor, for each map."""
        outputs = [self.rpn(x) for x in pyramid]
        for x, level in zip(outputs, pyramid, strict=True):
            _check_anchors(x, level, self.anchors)
        return outputs

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
        pooled = run_per_device(align, tuple(pyramid)[:4], boxes)
        return pooled.reshape(-1, *pooled.shape[2:])


def unflatten(x: Array, boxes: Boxes) -> Array:
    """Return the outputs of a head with the axes of images and of boxes."""
    return x.reshape(*boxes.valid.shape, *x.shape[1:])


@no_type_check
def checked_sizes(images: Array, image_sizes: Array) -> Float[Array, "n 2"]:
    """Return the sizes of the images as floats; raise unless there is one for each."""
    return _checked_pairs("image_sizes", "(height, width)", image_sizes, images)


@no_type_check
def checked_factors(
    images: Array, scale_factors: Array | None
) -> Float[Array, "n 2"] | None:
    """Return the scale factors as floats; raise unless there are some for each."""
    if scale_factors is None:
        return None
    what = "the factors of width and height"
    return _checked_pairs("scale_factors", what, scale_factors, images)


@no_type_check
def _checked_pairs(
    name: str, what: str, pairs: Array, images: Array
) -> Float[Array, "n 2"]:
    pairs = jnp.asarray(pairs)
    expected = (images.shape[0], 2)
    if pairs.shape != expected:
        raise RefusedError(
            f"`{name}` must hold {what} of each image, of shape {expected}, got "
            f"{pairs.shape}."
        )
    return pairs.astype(wide_dtype(images.dtype))


@no_type_check
def _check_pyramid(pyramid: Pyramid, images: Array) -> None:
    """Raise unless the maps are those of the strides of the anchors."""
    _, height, width, _ = images.shape
    expected = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
    sizes = [tuple(x.shape[1:3]) for x in pyramid]
    if len(sizes) == len(expected) and not all(
        isinstance(size, int) for size in (height, width)
    ):
        return  # Symbolic sizes that are equal may compare as unequal.
    if sizes != expected:
        raise RefusedError(
            "`fpn` must make five maps of the maps c2 to c5 of `backbone`, of sizes "
            f"{expected} for images of {(height, width)} pixels, got {sizes}."
        )


@no_type_check
def _check_anchors(outputs: RPNOutputs, level: Array, anchors: AnchorSettings) -> None:
    ratios = len(anchors.ratios)
    _, height, width, _ = level.shape
    predicted = outputs.logits.shape[1]
    if predicted != height * width * ratios:
        raise RefusedError(
            f"`rpn` must predict {ratios} anchors for each pixel, one for each of "
            f"`anchors.ratios`, got {predicted} for a map of {height} x {width} pixels."
        )
