"""Intersection over union and accuracy of label maps, by confusion matrices."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from carafe_jax.arguments import check, check_count, check_not_negative
from carafe_jax.errors import RefusedError, no_type_check

# As in CSAIL's code: the IoU of a class that is absent from both maps is 0.
_EPSILON = 1e-10


@no_type_check
def confusion_matrix(
    labels: Integer[np.ndarray, "*n"],
    predicted: Integer[np.ndarray, "*n"],
    *,
    classes: int,
    ignored: int = 255,
) -> Int64[np.ndarray, "k k"]:
    """Count the pixels of each true class by the class predicted for them.

    Matrices of several images are added.

    Args:
      labels: True class of each pixel, below `classes`, or `ignored`.
      predicted: Predicted class of each pixel, below `classes`. Predictions at ignored
        pixels do not count.
      classes: Number of classes.
      ignored: Label of pixels that do not count.

    Returns:
      Numbers of pixels: rows are true classes, columns predicted ones.

    Raises:
      RefusedError: The shapes differ, a value is not a class, or `classes` is not
        positive.
    """
    check_count("classes", classes)
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape:
        raise RefusedError(
            f"`predicted` must have the shape of `labels`, {labels.shape}, got "
            f"{predicted.shape}."
        )
    counted = labels != ignored
    pairs: dict[str, np.ndarray] = {}
    for name, array in {"labels": labels, "predicted": predicted}.items():
        if not np.issubdtype(array.dtype, np.integer):
            raise RefusedError(f"`{name}` must be ints, got {array.dtype}.")
        _check_classes(name, array[counted], classes)
        pairs[name] = array[counted].astype(np.int64)
    counts = np.bincount(
        pairs["labels"] * classes + pairs["predicted"], minlength=classes**2
    )
    return counts.reshape(classes, classes).astype(np.int64)


def _check_classes(name: str, values: np.ndarray, classes: int) -> None:
    if not values.size:
        return
    least, most = int(values.min()), int(values.max())
    wrong = least if least < 0 else most
    rule = f"be classes below {classes}, or ignored"
    check(name, wrong, rule, holds=least >= 0 and most < classes)


@dataclasses.dataclass(frozen=True)
class SegmentationQuality:
    """Scores of the label maps of a test set."""

    iou: Float64[np.ndarray, " k"]
    """Intersection over union of each class, over the pixels of all images: 0 for
    classes without a pixel in labels and predictions."""
    absent: Bool[np.ndarray, " k"]
    """Whether a class has no pixel in labels and predictions."""
    pixel_accuracy: float
    """Fraction of the pixels that have the right class."""
    counted: int
    """Number of pixels that count."""

    @property
    def mean_iou(self) -> float:
        """Mean over all classes, absent ones as 0, as in CSAIL's code (table VIII)."""
        return float(self.iou.mean())

    @property
    def mean_iou_of_present(self) -> float:
        """Mean over the classes that are not absent, as in mmsegmentation."""
        present = self.iou[~self.absent]
        return float(present.mean()) if present.size else 0.0

    @property
    def numbers(self) -> dict[str, float]:
        """Scores by name, for logs and tables."""
        return {
            "mean_iou": self.mean_iou,
            "mean_iou_of_present": self.mean_iou_of_present,
            "pixel_accuracy": self.pixel_accuracy,
        }


@no_type_check
def segmentation_quality(
    confusion: Integer[np.ndarray, "k k"],
) -> SegmentationQuality:
    """Return the scores of a confusion matrix.

    With I the pixels of a class in both maps and U those in either, summed over all
    images, IoU is I / (U + 1e-10).

    Args:
      confusion: Sum of the results of `confusion_matrix`.

    Raises:
      RefusedError: The matrix is not square or not of ints, has a negative number, or
        counts no pixel.
    """
    confusion = np.asarray(confusion)
    square = confusion.ndim == 2 and len({*confusion.shape}) == 1
    check("confusion", confusion.shape, "be a square matrix", holds=square)
    # Fractions, as of a normalised matrix, have no number of pixels.
    if not np.issubdtype(confusion.dtype, np.integer):
        raise RefusedError(f"`confusion` must be ints, got {confusion.dtype}.")
    check_not_negative("confusion", confusion.min(initial=0))
    intersection = np.diagonal(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    pixels = int(confusion.sum())
    check("confusion", pixels, "count at least one pixel", holds=pixels > 0)
    return SegmentationQuality(
        iou=intersection / (union + _EPSILON),
        absent=union == 0,
        pixel_accuracy=float(intersection.sum() / pixels),
        counted=pixels,
    )
