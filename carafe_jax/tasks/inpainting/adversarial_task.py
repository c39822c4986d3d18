"""Adversarial inpainting as a task to train: two networks, two losses, one step."""

import functools
from collections.abc import Sequence
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
from carafe_jax.tasks.inpainting.data import InpaintingBatch, InpaintingData
from carafe_jax.tasks.inpainting.evaluation import report_fills
from carafe_jax.tasks.inpainting.evaluator import FillEvaluator, part
from carafe_jax.tasks.inpainting.loss import AdversarialLoss, ReconstructionLoss
from carafe_jax.tasks.inpainting.task import (
    batches_of_process,
    blank,
    steps_per_epoch,
)
from carafe_jax.train import Auxiliary, Batches, Evaluator, Variables

NETWORKS = ("generator", "discriminator")


class AdversarialInpaintingTask:
    """Train a generator to fill holes and a discriminator to recognise its fills.

    The discriminator sees whole composed pictures with their masks, and judges the
    hole alone: a patch weighs as much as it holds of the hole.

    Both learn in the same step from the same parameters. The sum of the losses is
    differentiated once; each network is held fixed in the other's loss, so the gradient
    of the sum is that of each one's own loss. The variables of each network are under
    its name in every collection.
    """

    best = "hole_psnr"

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
        """Open nothing yet."""
        self._networks = {"generator": generator, "discriminator": discriminator}
        self._data, self._loss, self._adversary = data, loss, adversary
        self._evaluator = FillEvaluator(generator, data, part="generator")
        self.report = functools.partial(
            report_fills,
            self._evaluator,
            data=data,
            network_name=network_name,
            rows=sample_rows,
        )

    def steps_per_epoch(self) -> int:
        """Return the batches of one crop of each training photograph, at least one."""
        return steps_per_epoch(self._data)

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial variables of both networks."""
        image, mask = blank(self._data.crop_size)
        inputs = {"generator": (image, mask), "discriminator": (_seen(image, mask),)}
        keys = dict(zip(NETWORKS, jax.random.split(key), strict=True))
        return _join(
            {
                name: dict(self._networks[name].init(keys[name], *inputs[name]))
                for name in NETWORKS
            }
        )

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Add the losses of both networks."""
        del key  # Nothing in the networks is random.
        image, mask = jnp.asarray(batch["image"]), jnp.asarray(batch["mask"])
        output, generator = self._train(
            "generator", part(variables, "generator"), image, mask
        )
        reconstruction, scalars = self._loss(output.predicted, batch)

        discriminator = part(variables, "discriminator")
        fake = _seen(output.composed, mask)
        judged, _ = self._train("discriminator", lax.stop_gradient(discriminator), fake)
        weights = patch_weights(mask, size=judged.shape[1:3])
        kind = self._adversary.kind
        deceit = generator_loss(judged, kind=kind, weights=weights)

        real, discriminator = self._train(
            "discriminator", discriminator, _seen(image, mask)
        )
        unreal, discriminator = self._train(
            "discriminator", discriminator, lax.stop_gradient(fake)
        )
        judgement = discriminator_loss(real, unreal, kind=kind, weights=weights)
        scalars |= {"adversarial": deceit, "discriminator": judgement}
        collections = _join({"generator": generator, "discriminator": discriminator})
        del collections["params"]
        total = reconstruction + self._adversary.weight * deceit + judgement
        return total, Auxiliary(scalars, collections)

    def batches(self) -> Batches:
        """Open the training batches of this process."""
        return batches_of_process(self._data)

    def evaluators(self) -> Sequence[Evaluator]:
        """Return the evaluator of the test set."""
        return (self._evaluator,)

    def _train(
        self, name: str, variables: Variables, *inputs: jax.Array
    ) -> tuple[Any, Variables]:
        """Apply a network in training; returns its variables with new statistics."""
        changing = [collection for collection in variables if collection != "params"]
        output, changed = self._networks[name].apply(
            variables, *inputs, train=True, mutable=changing
        )
        return output, {**variables, **changed}


def _join(parts: dict[str, Variables]) -> Variables:
    collections = {name for variables in parts.values() for name in variables}
    return {
        collection: {
            name: variables[collection]
            for name, variables in parts.items()
            if collection in variables
        }
        for collection in sorted(collections)
    }


def _seen(
    image: Float[Array, "n h w 3"], mask: Float[Array, "n h w 1"]
) -> Float[Array, "n h w 4"]:
    return jnp.concatenate([image, mask.astype(image.dtype)], axis=-1)
