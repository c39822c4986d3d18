"""Loss of classifiers."""

import dataclasses

import jax
import optax
from jaxtyping import Array, Float, Int

from carafe_jax.arguments import check_below_1
from carafe_jax.ops import wide_dtype


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross-entropy of the predicted classes, averaged over the images."""

    label_smoothing: float = 0.0
    """Fraction of the probability that is spread over all classes, in [0, 1)."""

    def __post_init__(self) -> None:
        check_below_1("label_smoothing", self.label_smoothing)

    def __call__(
        self, logits: Float[Array, "n k"], label: Int[Array, "n"]
    ) -> Float[Array, ""]:
        """Return the mean over the images, in float32 or the wider dtype of logits."""
        logits = logits.astype(wide_dtype(logits.dtype))
        labels = jax.nn.one_hot(label, logits.shape[-1], dtype=logits.dtype)
        labels = optax.smooth_labels(labels, self.label_smoothing)
        return optax.softmax_cross_entropy(logits, labels).mean()
