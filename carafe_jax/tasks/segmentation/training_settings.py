"""Settings of the training of segmentation networks."""

import dataclasses
import math
from collections.abc import Sequence

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationTraining:
    """Weights of the classes in the loss."""

    class_weights: tuple[float, ...] | None = None
    """Weight of each class in the loss, in the order of the classes, such as larger
    ones for rare classes. The loss is the weighted mean over the pixels, as in
    PyTorch's cross-entropy. None: all weigh the same, as in the published networks."""

    def __post_init__(self) -> None:
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
