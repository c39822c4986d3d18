"""Faster R-CNN (arXiv:1506.01497) on a feature pyramid (arXiv:1612.03144)."""

from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.detection.detections import Detections, detect
from carafe_jax.models.detection.two_stage import (
    TwoStageDetector,
    checked_factors,
    checked_sizes,
)


@no_type_check
class FasterRCNN(TwoStageDetector):
    """Two-stage detector: an RPN proposes boxes, a head classifies and refines them.

    Fields and steps are those of `TwoStageDetector`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import ResNet50
      >>> from carafe_jax.models.detection import FPN, BoxHead, FasterRCNN, RPNHead
      >>> detector = FasterRCNN(ResNet50(), FPN(), RPNHead(), BoxHead(classes=80))
      >>> images = jnp.zeros((2, 128, 160, 3))
      >>> sizes = jnp.array([[128, 160], [96, 128]])  # Without the padding.
      >>> variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
      >>> detections = jax.eval_shape(detector.apply, variables, images, sizes)
      >>> detections.boxes.coordinates.shape, detections.scores.shape
      ((2, 100, 4), (2, 100))
    """

    def __call__(
        self,
        images: Float[Array, "n h w 3"],
        image_sizes: Array,
        scale_factors: Array | None = None,
    ) -> Detections:
        """Return the detections of a batch.

        Boxes are divided by the scale factors before the non-maximum suppression, as in
        mmdetection.

        Args:
          images: Normalised images, padded with zeros at the bottom and right.
          image_sizes: (n, 2): height and width of each image without its padding.
          scale_factors: (n, 2): width and height of each image divided by those of its
            file (default: 1).

        Returns:
          Detections with boxes in pixels of the files.

        Raises:
          RefusedError: An argument has a wrong shape, or the parts do not fit.
        """
        sizes = checked_sizes(images, image_sizes)
        factors = checked_factors(images, scale_factors)
        pyramid = self.extract(images)
        proposals = self.propose(pyramid, sizes)
        return detect(
            self.classify(pyramid, proposals.boxes),
            proposals.boxes,
            image_sizes=sizes,
            scale_factors=factors,
            settings=self.detections,
        )
