"""Settings of a two-stage detector; the defaults are mmdetection's."""

import dataclasses

from carafe_jax.arguments import (
    check,
    check_below_1,
    check_between_0_and_1,
    check_positive,
)
from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_int

STRIDES = (4, 8, 16, 32, 64)
"""Image pixels per pixel of the maps P2 to P6."""


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class AnchorSettings:
    """Shapes of the anchors of every map."""

    scale: float = 8.0
    """Side of the square anchor, in pixels of its map."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Heights divided by widths, at a constant area."""

    def __post_init__(self) -> None:
        check_positive("scale", self.scale)
        rule, positive = "be one or more positive numbers", min(self.ratios, default=0)
        check("ratios", self.ratios, rule, holds=positive > 0)


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class ProposalSettings:
    """Selection of the proposals from the outputs of the RPN."""

    candidates: int = 1000
    """Anchors of each map that enter non-maximum suppression, by score. mmdetection
    has 2000 in training."""
    count: int = 1000
    """Proposals of an image, of all maps together."""
    iou_threshold: float = 0.7
    """IoU above which the proposal of the lower score is suppressed."""

    def __post_init__(self) -> None:
        check_int("candidates", self.candidates)
        check_int("count", self.count)
        check_between_0_and_1("iou_threshold", self.iou_threshold)


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class RoISettings:
    """Pooling of the regions of interest."""

    box_size: int = 7
    """Side of the pooled map of the box head, in bins."""
    mask_size: int = 14
    """Side of the pooled map of the mask head, in bins."""
    finest_scale: float = 56.0
    """Side in pixels below which a region is pooled from P2; each doubling is one map
    further up, to P5."""

    def __post_init__(self) -> None:
        check_int("box_size", self.box_size)
        check_int("mask_size", self.mask_size)
        check_positive("finest_scale", self.finest_scale)


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionSettings:
    """Selection of the detections from the outputs of the box head."""

    score_threshold: float = 0.05
    """Only boxes of a higher score are detections."""
    iou_threshold: float = 0.5
    """IoU above which the box of the lower score is suppressed, within a class."""
    count: int = 100
    """Detections of an image."""
    candidates: int = 2000
    """Pairs of a box and a class that enter non-maximum suppression, by score."""

    def __post_init__(self) -> None:
        check_below_1("score_threshold", self.score_threshold)
        check_between_0_and_1("iou_threshold", self.iou_threshold)
        check_int("count", self.count)
        check_int("candidates", self.candidates)
