"""Losses of inpainting networks."""

import dataclasses

from jaxtyping import Array, Float

from carafe_jax.arguments import check_not_negative
from carafe_jax.losses import masked_l1
from carafe_jax.losses.adversarial import Kind
from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.train import Scalars


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionLoss:
    """Weighted mean absolute errors, as in Liu et al. (arXiv:1804.07723)."""

    hole: float = 6.0
    """Weight of the error in the hole."""
    given: float = 1.0
    """Weight of the error at the given pixels."""

    def __post_init__(self) -> None:
        check_not_negative("hole", self.hole)
        check_not_negative("given", self.given)

    def __call__(
        self, predicted: Float[Array, "n h w 3"], batch: InpaintingBatch
    ) -> tuple[Float[Array, ""], Scalars]:
        """Return the weighted sum of both errors, and each by its name."""
        image, mask = batch["image"], batch["mask"]
        hole = masked_l1(predicted, image, mask=mask)
        given = masked_l1(predicted, image, mask=1 - mask)
        loss = self.hole * hole + self.given * given
        return loss, {"hole_l1": hole, "given_l1": given}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """Form and weight of the adversarial losses."""

    kind: Kind = "hinge"
    """Form of the losses of generator and discriminator."""
    weight: float = 0.01
    """Weight of the generator's adversarial loss, relative to its reconstruction loss.
    0: the generator learns from reconstruction alone."""

    def __post_init__(self) -> None:
        check_not_negative("weight", self.weight)
