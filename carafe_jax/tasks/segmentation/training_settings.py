"""Settings of the training of segmentation networks."""

import dataclasses
import math
from collections.abc import Sequence
from typing import get_args

from carafe_jax.arguments import check, check_choice
from carafe_jax.errors import no_type_check
from carafe_jax.tasks.segmentation.loss import LabelsAt


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationTraining:
    """Pixels and weights of the loss."""

    labels_at: LabelsAt | None = None
    """Pixels that are trained. "first": at the stride s of the logits, every s-th row
    and column, from the first on, as in CSAIL's code of early 2019. "centre": from the
    middle one on. "image": all, with resized logits, which takes more memory. None:
    "image" for PSPNet and PSANet, as in semseg; else "centre"."""
    class_weights: tuple[float, ...] | None = None
    """Weight of each class in the loss, in the order of the classes, such as larger
    ones for rare classes. The loss is the weighted mean over the pixels, as in
    PyTorch's cross-entropy. None: all weigh the same, as in the published networks."""

    def __post_init__(self) -> None:
        if self.labels_at is not None:
            check_choice("labels_at", self.labels_at, get_args(LabelsAt))
        weights = self.class_weights
        if weights is not None:
            rule = "be finite numbers that are not negative, not all 0, or None"
            holds = not isinstance(weights, str) and all(
                isinstance(x, int | float) and 0 <= x < math.inf for x in weights
            )
            check("class_weights", weights, rule, holds=holds and any(weights))

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise unless there is a weight for each class, if there are any weights.

        Args:
          classes: Names of the classes of the data.
        """
        weights = self.class_weights
        rule = (
            f"have {len(classes)} numbers, one for each class of the data, or be None"
        )
        holds = weights is None or len(weights) == len(classes)
        check("training.class_weights", weights, rule, holds=holds)
