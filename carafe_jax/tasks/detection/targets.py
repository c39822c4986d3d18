"""Targets of both stages: matching and sampling for each image."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from carafe_jax.models.detection.detections import BOX_STDS
from carafe_jax.ops.box_coder import encode_boxes
from carafe_jax.ops.boxes import Boxes
from carafe_jax.ops.matching import Matches, match_boxes, prepend_targets
from carafe_jax.ops.sampling import Sampler, Samples, sample_boxes
from carafe_jax.ops.sharding import run_per_device
from carafe_jax.tasks.detection.batch import GroundTruth
from carafe_jax.tasks.detection.training_settings import (
    MatchingSettings,
    SamplingSettings,
)


class AnchorTargets(NamedTuple):
    """Sampled anchors of each image."""

    samples: Samples
    """(n, s) indices into the anchors of all maps."""
    deltas: Float[Array, "n s 4"]
    """True deltas of positive anchors, else zeros."""


class RegionTargets(NamedTuple):
    """Sampled regions of each image."""

    boxes: Boxes
    """(n, s) regions in pixels, the positive ones first."""
    positive: Bool[Array, "n s"]
    objects: Int[Array, "n s"]
    """Index of the object of positive regions, else 0."""
    classes: Int[Array, "n s"]
    """True class; for other regions the background, the number of classes."""
    deltas: Float[Array, "n s 4"]
    """True deltas of positive regions, else zeros."""


def anchor_targets(
    keys: Key[Array, "n"],
    truth: GroundTruth,
    *,
    anchors: Float[Array, "a 4"],
    valid: Bool[Array, "n a"],
    matching: MatchingSettings,
    sampling: SamplingSettings,
    sampler: Sampler,
) -> AnchorTargets:
    """Match the anchors of each image with its objects, and sample them.

    Args:
      keys: Key of each image.
      truth: Objects.
      anchors: Of all maps, in pixels.
      valid: Whether each anchor lies on an image.
      matching: Thresholds.
      sampling: Numbers of anchors.
      sampler: Rule by which candidates are chosen.
    """

    def every(
        keys: Array, valid: Array, objects: Boxes, anchors: Array
    ) -> AnchorTargets:
        def one(image: tuple[Array, Array, Boxes]) -> AnchorTargets:
            key, valid, objects = image
            matches = _matched(Boxes(anchors, valid), objects, matching)
            samples = _sampled(key, matches, sampling, sampler)
            targets, boxes = matches.targets[samples.indices], anchors[samples.indices]
            deltas = _deltas(boxes, objects, targets, samples.positive)
            return AnchorTargets(samples, deltas)

        # One image at a time: the IoUs of all its anchors and objects are stored.
        return cast(AnchorTargets, jax.lax.map(one, (keys, valid, objects)))

    return run_per_device(every, keys, valid, truth.boxes, shared=[anchors])


def region_targets(
    keys: Key[Array, "n"],
    truth: GroundTruth,
    *,
    proposals: Boxes,
    classes: int,
    matching: MatchingSettings,
    sampling: SamplingSettings,
    sampler: Sampler,
) -> RegionTargets:
    """Match the proposals of each image with its objects, and sample them.

    The boxes of the objects are put before the proposals, so that there are positive
    regions when the RPN is untrained.

    Args:
      keys: Key of each image.
      truth: Objects.
      proposals: (n, r) boxes in pixels.
      classes: Number of classes, which is the label of the background.
      matching: Thresholds.
      sampling: Numbers of regions.
      sampler: Rule by which candidates are chosen.
    """

    def one(
        key: Array, proposals: Boxes, objects: Boxes, labels: Array
    ) -> RegionTargets:
        matches = prepend_targets(_matched(proposals, objects, matching), objects)
        samples = _sampled(key, matches, sampling, sampler)
        own = objects.coordinates.astype(proposals.coordinates.dtype)
        boxes = jnp.concatenate([own, proposals.coordinates])[samples.indices]
        targets = jnp.where(samples.positive, matches.targets[samples.indices], 0)
        deltas = _deltas(boxes, objects, targets, samples.positive, stds=BOX_STDS)
        return RegionTargets(
            Boxes(jnp.where(samples.valid[:, None], boxes, 0), samples.valid),
            samples.positive,
            targets,
            jnp.where(samples.positive, labels[targets], classes),
            deltas,
        )

    operands = keys, proposals, truth.boxes, truth.classes
    return run_per_device(jax.vmap(one), *operands)


def _matched(boxes: Boxes, objects: Boxes, settings: MatchingSettings) -> Matches:
    lowest = settings.low_quality_iou
    assert not isinstance(lowest, str), "`for_detector` replaces names by numbers."
    return match_boxes(
        boxes,
        objects,
        positive_iou=settings.positive_iou,
        negative_iou=settings.negative_iou,
        low_quality_iou=lowest,
    )


def _sampled(
    key: Array, matches: Matches, settings: SamplingSettings, sampler: Sampler
) -> Samples:
    return sample_boxes(
        key,
        matches,
        count=settings.count,
        positive_fraction=settings.positive_fraction,
        sampler=sampler,
    )


def _deltas(
    boxes: Array,
    objects: Boxes,
    targets: Array,
    positive: Array,
    stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> Array:
    true = objects.coordinates[targets].astype(boxes.dtype)
    deltas = encode_boxes(true, boxes, stds=stds)
    return jnp.where(positive[:, None], deltas, 0)
