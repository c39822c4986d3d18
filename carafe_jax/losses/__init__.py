"""Losses that are not in optax."""

from carafe_jax.losses.adversarial import discriminator_loss as discriminator_loss
from carafe_jax.losses.adversarial import generator_loss as generator_loss
from carafe_jax.losses.adversarial import patch_weights as patch_weights
from carafe_jax.losses.reconstruction import masked_l1 as masked_l1

__all__ = [
    "discriminator_loss",
    "generator_loss",
    "masked_l1",
    "patch_weights",
]
