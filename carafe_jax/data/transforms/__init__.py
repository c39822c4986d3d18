"""Transforms of images to examples: crops, holes and colours."""

from carafe_jax.data.transforms.colour_jitter import ColourJitter as ColourJitter
from carafe_jax.data.transforms.crops import random_crop as random_crop
from carafe_jax.data.transforms.free_form_holes import FreeFormHoles as FreeFormHoles
from carafe_jax.data.transforms.free_form_holes import free_form_hole as free_form_hole
from carafe_jax.data.transforms.resized_crops import Box as Box
from carafe_jax.data.transforms.resized_crops import centre_box as centre_box
from carafe_jax.data.transforms.resized_crops import decode_box as decode_box
from carafe_jax.data.transforms.resized_crops import decode_centre as decode_centre
from carafe_jax.data.transforms.resized_crops import random_box as random_box
from carafe_jax.data.transforms.statistics import IMAGENET_MEAN as IMAGENET_MEAN
from carafe_jax.data.transforms.statistics import IMAGENET_STD as IMAGENET_STD

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Box",
    "ColourJitter",
    "FreeFormHoles",
    "centre_box",
    "decode_box",
    "decode_centre",
    "free_form_hole",
    "random_box",
    "random_crop",
]
