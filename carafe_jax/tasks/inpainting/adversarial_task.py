"""Adversarial inpainting: two networks and two losses, trained in one step."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Key

from carafe_jax.losses import (
    discriminator_loss,
    generator_loss,
    patch_weights,
)
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    InpaintingDataset,
)
from carafe_jax.tasks.inpainting.evaluator import FillEvaluator
from carafe_jax.tasks.inpainting.joint_variables import join, part
from carafe_jax.tasks.inpainting.loss import AdversarialLoss, ReconstructionLoss
from carafe_jax.tasks.inpainting.task import FillingTask, blank
from carafe_jax.train import Auxiliary, Variables

NETWORKS = ("generator", "discriminator")


class AdversarialInpaintingTask(FillingTask):
    """Train a generator to fill holes and a discriminator to recognise its fills.

    The discriminator receives whole composed images with their masks, and judges only
    the hole: each patch is weighted by its fraction of hole.

    Both are updated in the same step, from the same parameters. The sum of the losses
    is differentiated once; `stop_gradient` fixes each network in the other's loss, so
    each receives the gradient of its own loss alone. Every collection holds the
    variables of each network under its name.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        data: InpaintingData,
        *,
        loss: ReconstructionLoss,
        adversary: AdversarialLoss,
        network_name: str,
        sample_rows: int,
    ) -> None:
        """Open no files yet."""
        dataset = InpaintingDataset(data)
        super().__init__(
            dataset,
            evaluator=FillEvaluator(generator, dataset, part="generator"),
            network_name=network_name,
            sample_rows=sample_rows,
        )
        self._networks = {"generator": generator, "discriminator": discriminator}
        self._loss, self._adversary = loss, adversary

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial variables of both networks."""
        image, mask = blank(self._data.crop_size)
        inputs = {
            "generator": (image, mask),
            "discriminator": (_with_mask(image, mask),),
        }
        keys = dict(zip(NETWORKS, jax.random.split(key), strict=True))
        return join(
            {
                name: dict(self._networks[name].init(keys[name], *inputs[name]))
                for name in NETWORKS
            }
        )

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the sum of the losses of both networks."""
        del key  # The networks are deterministic.
        image, mask = jnp.asarray(batch["image"]), jnp.asarray(batch["mask"])
        output, generator = self._train(
            "generator", part(variables, "generator"), image, mask
        )
        reconstruction, scalars = self._loss(output.predicted, batch)

        discriminator = part(variables, "discriminator")
        fake, kind = _with_mask(output.composed, mask), self._adversary.kind
        fixed = lax.stop_gradient(discriminator)
        fake_logits, _ = self._train("discriminator", fixed, fake)
        weights = patch_weights(mask, size=fake_logits.shape[1:3])
        of_generator = generator_loss(fake_logits, kind=kind, weights=weights)

        real_logits, discriminator = self._train(
            "discriminator", discriminator, _with_mask(image, mask)
        )
        fixed_logits, discriminator = self._train(
            "discriminator", discriminator, lax.stop_gradient(fake)
        )
        of_discriminator = discriminator_loss(
            real_logits, fixed_logits, kind=kind, weights=weights
        )
        scalars |= {"adversarial": of_generator, "discriminator": of_discriminator}
        collections = join({"generator": generator, "discriminator": discriminator})
        del collections["params"]
        total = (
            reconstruction + self._adversary.weight * of_generator + of_discriminator
        )
        return total, Auxiliary(scalars, collections)

    def _train(
        self, name: str, variables: Variables, *inputs: jax.Array
    ) -> tuple[Any, Variables]:
        """Apply a network in training; also return its variables, updated."""
        changing = [collection for collection in variables if collection != "params"]
        output, changed = self._networks[name].apply(
            variables, *inputs, train=True, mutable=changing
        )
        return output, {**variables, **changed}


def _with_mask(
    image: Float[Array, "n h w 3"], mask: Float[Array, "n h w 1"]
) -> Float[Array, "n h w 4"]:
    return jnp.concatenate([image, mask.astype(image.dtype)], axis=-1)
