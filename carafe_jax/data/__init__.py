"""Photographs with holes, in batches of numpy arrays."""

from carafe_jax.data.inpainting import InpaintingBatch as InpaintingBatch
from carafe_jax.data.inpainting import InpaintingData as InpaintingData
from carafe_jax.data.inpainting import held_out_examples as held_out_examples
from carafe_jax.data.inpainting import training_batches as training_batches
from carafe_jax.data.masks import FreeFormMasks as FreeFormMasks
from carafe_jax.data.masks import free_form_mask as free_form_mask
from carafe_jax.data.photographs import Photographs as Photographs
from carafe_jax.data.photographs import open_photographs as open_photographs
