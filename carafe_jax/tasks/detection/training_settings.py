"""Settings of the training of detectors; the defaults are mmdetection's."""

import dataclasses

from carafe_jax.arguments import check_between_0_and_1, check_count
from carafe_jax.errors import RefusedError
from carafe_jax.models.detection.settings import ProposalSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchingSettings:
    """Thresholds of the IoU by which boxes are matched with objects."""

    positive_iou: float
    """IoU from which a box is positive."""
    negative_iou: float
    """IoU below which a box is negative; between both it is ignored."""
    low_quality_iou: float | None = None
    """IoU from which the best boxes of an object are positive in any case. None: they
    are not."""

    def __post_init__(self) -> None:
        check_between_0_and_1("positive_iou", self.positive_iou)
        check_between_0_and_1("negative_iou", self.negative_iou)
        if self.negative_iou > self.positive_iou:
            raise RefusedError(
                f"`negative_iou` must be at most `positive_iou`, {self.positive_iou}, "
                f"got {self.negative_iou}."
            )
        if self.low_quality_iou is not None:
            check_between_0_and_1("low_quality_iou", self.low_quality_iou)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """Numbers of boxes that are trained in an image."""

    count: int
    """Positive and negative boxes together."""
    positive_fraction: float
    """Largest fraction of positive boxes, in [0, 1]."""

    def __post_init__(self) -> None:
        check_count("count", self.count)
        check_between_0_and_1("positive_fraction", self.positive_fraction)

    @property
    def positives(self) -> int:
        """Largest number of positive boxes."""
        return int(self.count * self.positive_fraction)


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
        positive_iou=0.5, negative_iou=0.5
    )
    """Of the proposals. mmdetection's Mask R-CNN also has `low_quality_iou=0.5`."""
    proposal_sampling: SamplingSettings = SamplingSettings(
        count=512, positive_fraction=0.25
    )
    """Of the proposals and the objects' own boxes."""
