"""Settings of the training of detectors; the defaults are mmdetection's."""

import dataclasses
from typing import Literal

from carafe_jax.arguments import check, check_up_to_1
from carafe_jax.errors import no_type_check
from carafe_jax.models.detection.settings import ProposalSettings
from carafe_jax.nn._arguments import check_int
from carafe_jax.ops.matching import check_thresholds

_MMDETECTION = "mmdetection"


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchingSettings:
    """Thresholds of the IoU by which boxes are matched with objects."""

    positive_iou: float
    """IoU from which a box is positive."""
    negative_iou: float
    """IoU below which a box is negative; between both it is ignored."""
    low_quality_iou: float | Literal["mmdetection"] | None = None
    """IoU from which the best boxes of an object are positive in any case. None: they
    are not. "mmdetection": its value, 0.3 for anchors, and for proposals 0.5 in a Mask
    R-CNN and None in a Faster R-CNN."""

    def __post_init__(self) -> None:
        lowest = self.low_quality_iou
        if isinstance(lowest, str):
            rule = f"be a number, {_MMDETECTION!r} or None"
            check("low_quality_iou", lowest, rule, holds=lowest == _MMDETECTION)
            lowest = None
        check_thresholds(self.positive_iou, self.negative_iou, lowest)

    def with_low_quality_of(self, reference: float | None) -> "MatchingSettings":
        """Return the settings with a value of mmdetection in place of its name."""
        if self.low_quality_iou != _MMDETECTION:
            return self
        return dataclasses.replace(self, low_quality_iou=reference)


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """Numbers of boxes that are trained in an image."""

    count: int
    """Positive and negative boxes together."""
    positive_fraction: float
    """Largest fraction of positive boxes, in [0, 1]."""

    def __post_init__(self) -> None:
        check_int("count", self.count)
        check_up_to_1("positive_fraction", self.positive_fraction)

    @property
    def positives(self) -> int:
        """Largest number of positive boxes."""
        return int(self.count * self.positive_fraction)


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionTraining:
    """Matching and sampling of both stages."""

    anchor_matching: MatchingSettings = MatchingSettings(
        positive_iou=0.7, negative_iou=0.3, low_quality_iou=0.3
    )
    """Of the anchors of the RPN."""
    anchor_sampling: SamplingSettings = SamplingSettings(
        count=256, positive_fraction=0.5
    )
    """Of the anchors of the RPN."""
    proposals: ProposalSettings = ProposalSettings(candidates=2000)
    """Selection of the proposals in training."""
    proposal_matching: MatchingSettings = MatchingSettings(
        positive_iou=0.5, negative_iou=0.5, low_quality_iou="mmdetection"
    )
    """Of the proposals."""
    proposal_sampling: SamplingSettings = SamplingSettings(
        count=512, positive_fraction=0.25
    )
    """Of the proposals and the objects' own boxes."""

    def for_detector(self, *, masks: bool) -> "DetectionTraining":
        """Return the settings with the values of mmdetection in place of its name.

        Args:
          masks: Whether the detector is a Mask R-CNN.
        """
        return dataclasses.replace(
            self,
            anchor_matching=self.anchor_matching.with_low_quality_of(0.3),
            proposal_matching=self.proposal_matching.with_low_quality_of(
                0.5 if masks else None
            ),
        )
