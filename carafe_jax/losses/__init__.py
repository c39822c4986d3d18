"""Losses that are not in optax."""

from carafe_jax.losses.adversarial import discriminator_loss as discriminator_loss
from carafe_jax.losses.adversarial import generator_loss as generator_loss
from carafe_jax.losses.adversarial import patch_weights as patch_weights
from carafe_jax.losses.detection import box_loss as box_loss
from carafe_jax.losses.detection import classification_loss as classification_loss
from carafe_jax.losses.detection import mask_loss as mask_loss
from carafe_jax.losses.detection import objectness_loss as objectness_loss
from carafe_jax.losses.reconstruction import masked_l1 as masked_l1
from carafe_jax.losses.segmentation import PixelLoss as PixelLoss
from carafe_jax.losses.segmentation import pixel_loss as pixel_loss

__all__ = [
    "PixelLoss",
    "box_loss",
    "classification_loss",
    "discriminator_loss",
    "generator_loss",
    "mask_loss",
    "masked_l1",
    "objectness_loss",
    "patch_weights",
    "pixel_loss",
]
