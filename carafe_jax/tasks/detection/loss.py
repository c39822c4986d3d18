"""Training loss of detectors: matching, sampling, and the losses of both stages."""

import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from carafe_jax.arguments import check_choice
from carafe_jax.errors import no_type_check
from carafe_jax.losses.detection import (
    box_loss,
    classification_loss,
    mask_loss,
    objectness_loss,
)
from carafe_jax.models.detection.detections import BoxPredictions
from carafe_jax.models.detection.faster_rcnn import FasterRCNN
from carafe_jax.models.detection.mask_rcnn import (
    MaskRCNN,
    check_classes,
    masks_of_classes,
)
from carafe_jax.models.detection.proposals import propose
from carafe_jax.models.detection.settings import STRIDES
from carafe_jax.ops.anchors import anchor_validity
from carafe_jax.ops.bitmap_crop import crop_bitmaps
from carafe_jax.ops.boxes import Boxes
from carafe_jax.ops.sampling import Sampler, random_sampler
from carafe_jax.ops.sharding import run_per_device
from carafe_jax.tasks.detection.batch import (
    DetectionBatch,
    GroundTruth,
    checked_batch,
)
from carafe_jax.tasks.detection.targets import (
    AnchorTargets,
    RegionTargets,
    anchor_targets,
    region_targets,
)
from carafe_jax.tasks.detection.training_settings import DetectionTraining


# After `jax.device_get` the losses are NumPy's.
@no_type_check
class DetectionLosses(NamedTuple):
    """Losses of a batch, whose sum is minimised, and the accuracy of the box head."""

    rpn_objectness: Float[Array, ""]
    rpn_boxes: Float[Array, ""]
    classes: Float[Array, ""]
    boxes: Float[Array, ""]
    masks: Float[Array, ""]
    """0 without masks."""
    accuracy: Float[Array, ""]
    """Fraction of the sampled regions whose class is right."""
    collections: Mapping[str, Any]
    """Collections that the forward pass updated, "batch_stats"; none if the norms are
    frozen."""

    @property
    def total(self) -> Float[Array, ""]:
        """The sum of the losses."""
        parts = self.rpn_objectness, self.rpn_boxes, self.classes, self.boxes
        return sum(parts, start=self.masks)


@no_type_check
def detection_losses(
    detector: FasterRCNN | MaskRCNN,
    variables: Mapping[str, Any],
    batch: DetectionBatch,
    key: Key[Array, ""],
    *,
    settings: DetectionTraining,
    sampler: Sampler = random_sampler,
    norms: Literal["frozen", "batch"] = "frozen",
) -> DetectionLosses:
    """Return the losses of a batch (Ren et al. 2015; He et al. 2017; mmdetection).

    Counts that losses are divided by are of the whole batch, on all devices.
    mmdetection divides on each device and averages over devices.

    Args:
      detector: Network.
      variables: Its parameters and running statistics.
      batch: Images with their objects.
      key: Key of the step. That of an image also depends on its index in the batch, so
        that any number of devices samples the same boxes, with JAX's default generator,
        "threefry2x32".
      settings: Matching and sampling.
      sampler: Rule by which boxes are chosen among the candidates.
      norms: Whether batch norms are "frozen", as in mmdetection, or normalise by the
        statistics of the "batch", images of weight 0 included, and update the running
        ones. Those of frozen stages are frozen in any case.

    Raises:
      RefusedError: The batch does not fit the detector, the parts of the detector do
        not fit each other, or `norms` is unknown. Classes that are out of range and
        boxes that are not finite are found outside of compiled programs alone.
    """
    check_choice("norms", norms, ("frozen", "batch"))
    classes, has_masks = _classes_of(detector), isinstance(detector, MaskRCNN)
    batch = checked_batch(batch, classes=classes, masks=has_masks)
    settings = settings.for_detector(masks=has_masks)
    apply: Any = functools.partial(detector.apply, variables)
    keys = _image_keys(key, len(batch.weights))
    collections: Mapping[str, Any] = {}
    if norms == "batch":
        extract = functools.partial(apply, method="extract", mutable=["batch_stats"])
        pyramid, collections = extract(batch.images, True)
    else:
        pyramid = apply(batch.images, method="extract")
    outputs = _score_anchors(detector, variables, pyramid)
    anchors = detector.anchor_boxes(pyramid)

    trained = anchor_targets(
        keys[:, 0],
        batch.truth,
        anchors=jnp.concatenate(anchors),
        valid=_valid_anchors(detector, pyramid, batch.padded_sizes),
        matching=settings.anchor_matching,
        sampling=settings.anchor_sampling,
        sampler=sampler,
    )
    proposals = propose(
        outputs,
        batch.image_sizes.astype(outputs[0].logits.dtype),
        anchors=anchors,
        settings=settings.proposals,
    )
    regions = region_targets(
        keys[:, 1],
        batch.truth,
        proposals=proposals.boxes,
        classes=classes,
        matching=settings.proposal_matching,
        sampling=settings.proposal_sampling,
        sampler=sampler,
    )
    logits = jnp.concatenate([x.logits for x in outputs], 1)
    deltas = jnp.concatenate([x.deltas for x in outputs], 1)
    losses = _anchor_losses(logits, deltas, trained, batch.weights)
    predictions = apply(pyramid, regions.boxes, method="classify")
    losses |= _region_losses(predictions, regions, batch.weights)
    losses["masks"] = jnp.zeros_like(losses["classes"])
    if has_masks:
        positives = _positives(regions, settings.proposal_sampling.positives)
        logits = apply(pyramid, positives.boxes, method="segment")
        check_classes(logits, predictions)
        losses["masks"] = _mask_losses(logits, positives, batch)
    return DetectionLosses(**losses, collections=collections)


def _score_anchors(
    detector: FasterRCNN | MaskRCNN, variables: Mapping[str, Any], pyramid: Any
) -> Any:
    """Return the RPN's outputs, each device those of its own images.

    Left to the compiler, devices would exchange the gradients of the RPN once for each
    map, and those of its biases before their sum over pixels.
    """

    def score(pyramid: Any, variables: Mapping[str, Any]) -> Any:
        return detector.apply(variables, pyramid, method="score_anchors")

    own = {
        name: {"rpn": collection["rpn"]}
        for name, collection in variables.items()
        if "rpn" in collection
    }
    return run_per_device(score, pyramid, shared=[own])


def _image_keys(key: Array, images: int) -> Key[Array, "n 2"]:
    one = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(images))
    return jax.vmap(functools.partial(jax.random.split, num=2))(one)


def _valid_anchors(detector: Any, pyramid: Any, padded_sizes: Array) -> Array:
    """Return whether the cell of each anchor lies on each padded image."""
    grids = [
        jax.vmap(
            functools.partial(
                anchor_validity,
                x.shape[1:3],
                stride=stride,
                ratios=detector.anchors.ratios,
            )
        )
        for x, stride in zip(pyramid, STRIDES, strict=True)
    ]
    return jnp.concatenate([grid(padded_size=padded_sizes) for grid in grids], 1)


def _classes_of(detector: Any) -> int:
    return detector.box_head.classes


def _positives(regions: RegionTargets, count: int) -> RegionTargets:
    """Return the first regions, those that are positive as valid boxes."""

    def first(x: Array) -> Array:
        return x[:, :count]

    regions = jax.tree.map(first, regions)
    boxes = Boxes(regions.boxes.coordinates, regions.positive)
    return regions._replace(boxes=boxes)


def _anchor_losses(
    logits: Array, deltas: Array, targets: AnchorTargets, images: Array
) -> dict[str, Array]:
    """Return the losses of the RPN over its sampled anchors."""
    samples = targets.samples
    positive, valid = samples.positive, samples.valid
    chosen = jnp.take_along_axis(logits, samples.indices, axis=1)
    refined = jnp.take_along_axis(deltas, samples.indices[..., None], axis=1)
    weights = images[:, None].astype(logits.dtype)
    negatives = (valid & ~positive).sum(1)
    # mmdetection counts one positive in an image that has none, and one negative.
    counts = jnp.maximum(positive.sum(1), 1) + jnp.maximum(negatives, 1)
    count = (weights[:, 0] * counts.astype(logits.dtype)).sum()
    return {
        "rpn_objectness": objectness_loss(
            chosen, positive, weights=jnp.where(valid, weights, 0), count=count
        ),
        "rpn_boxes": box_loss(
            refined,
            targets.deltas,
            weights=jnp.where(positive, weights, 0),
            count=count,
        ),
    }


def _region_losses(
    predictions: BoxPredictions, targets: RegionTargets, images: Array
) -> dict[str, Array]:
    """Return the losses of the box head over the sampled regions."""
    logits = predictions.logits
    classes = logits.shape[-1] - 1
    weights = images[:, None].astype(logits.dtype)
    sampled = jnp.where(targets.boxes.valid, weights, 0)
    positive = jnp.where(targets.positive, weights, 0)
    count = jnp.maximum(sampled.sum(), 1)
    own = jnp.minimum(targets.classes, classes - 1)[..., None, None]
    refined = jnp.take_along_axis(predictions.deltas, own, axis=2)[..., 0, :]
    correct = jnp.where(logits.argmax(-1) == targets.classes, sampled, 0)
    return {
        "classes": classification_loss(
            logits, targets.classes, weights=sampled, count=count
        ),
        "boxes": box_loss(refined, targets.deltas, weights=positive, count=count),
        "accuracy": jax.lax.stop_gradient(correct.sum() / count),
    }


def _mask_losses(
    logits: Array, positives: RegionTargets, batch: DetectionBatch
) -> Array:
    """Return the loss of the mask head over the positive regions."""
    classes = jnp.where(positives.positive, positives.classes, 0)
    logits = masks_of_classes(logits, classes)
    targets = _mask_targets(batch.truth, positives, size=logits.shape[-1])
    weights = batch.weights[:, None].astype(logits.dtype)
    weights = jnp.where(positives.positive, weights, 0)
    return mask_loss(logits, targets, weights=weights)


def _mask_targets(truth: GroundTruth, positives: RegionTargets, *, size: int) -> Array:
    """Return the masks of the regions' objects over the regions, (n, r, size, size)."""

    def one(masks: Array, boxes: Array, objects: Array) -> Array:
        return crop_bitmaps(masks, boxes, targets=objects, output_size=size) >= 0.5

    operands = truth.masks, positives.boxes.coordinates, positives.objects
    return run_per_device(jax.vmap(one), *operands)
