"""Adversarial inpainting as a task to train: two networks, two losses, one step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Float32, Key, UInt8

from carafe_jax.errors import RefusedError
from carafe_jax.losses import (
    discriminator_loss,
    generator_loss,
    patch_weights,
)
from carafe_jax.losses.adversarial import Kind
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    open_test_examples,
    stack_examples,
)
from carafe_jax.train import Aside, Batches, TrainState, Variables
from experiments.inpainting.task import (
    PICTURES,
    Filler,
    Loss,
    batches_of_process,
    blank,
    draw_filled,
    quality,
    spread,
    take,
)

PARTS = ("generator", "discriminator")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversary:
    """What the discriminator says, and how much it weighs."""

    kind: Kind = "hinge"
    """Form of both losses."""
    weight: float = 0.01
    """Of the generator's adversarial loss, beside its reconstruction loss; 0 trains
    the generator by reconstruction alone."""

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise RefusedError(f"`weight` must not be negative, got {self.weight}.")


class AdversarialTask:
    """Train a generator to fill holes and a discriminator to tell its fills.

    The discriminator sees whole composed pictures with their masks, and is asked about
    the hole alone: its patches weigh as much as they hold of the hole.

    Both learn in the same step from the same parameters. The sum of the losses is
    differentiated once; each network is held fixed in the other's loss, so the gradient
    of the sum is that of each one's own loss. The variables of each network lie under
    its name in every collection.
    """

    best = "hole_psnr"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        data: InpaintingData,
        *,
        loss: Loss,
        adversary: Adversary,
    ) -> None:
        """Open the test set; training data are opened by `batches`."""
        self._networks = {"generator": generator, "discriminator": discriminator}
        self._data, self._loss, self._adversary = data, loss, adversary
        self._filler = Filler(generator, batch_size=data.batch_size)
        self.test: InpaintingBatch = stack_examples(open_test_examples(data))

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial variables of both networks."""
        image, mask = blank(self._data.crop_size)
        inputs = {"generator": (image, mask), "discriminator": (_seen(image, mask),)}
        keys = dict(zip(PARTS, jax.random.split(key), strict=True))
        return _join(
            {
                name: dict(self._networks[name].init(keys[name], *inputs[name]))
                for name in PARTS
            }
        )

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Aside]:
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
        return total, Aside(scalars, collections)

    def batches(self) -> Batches:
        """Start the training batches of this process."""
        return batches_of_process(self._data)

    def fill(
        self, state: TrainState, batch: InpaintingBatch
    ) -> Float32[np.ndarray, "n h w 3"]:
        """Fill the holes of any number of images."""
        return self._filler(part(state.best_variables, "generator"), batch)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Measure the filled test set: means over its images."""
        return quality(self.fill(state, self.test), self.test)

    def draw(self, state: TrainState) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Draw some of the filled test set."""
        some = take(self.test, spread(len(self.test["image"]), count=PICTURES))
        return draw_filled(some, self.fill(state, some))

    def _train(
        self, name: str, variables: Variables, *inputs: jax.Array
    ) -> tuple[Any, Variables]:
        """Apply a network in training; returns its variables with new statistics."""
        changing = [collection for collection in variables if collection != "params"]
        output, changed = self._networks[name].apply(
            variables, *inputs, train=True, mutable=changing
        )
        return output, {**variables, **changed}


def part(variables: Variables, name: str) -> Variables:
    """Take one network's variables out of those of both."""
    return {
        collection: tree[name] for collection, tree in variables.items() if name in tree
    }


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
