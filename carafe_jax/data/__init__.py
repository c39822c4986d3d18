"""Photographs and labelled images, in batches of numpy arrays."""

from carafe_jax.data.classification import IMAGENET_MEAN as IMAGENET_MEAN
from carafe_jax.data.classification import IMAGENET_STD as IMAGENET_STD
from carafe_jax.data.classification import ClassificationBatch as ClassificationBatch
from carafe_jax.data.classification import ClassificationData as ClassificationData
from carafe_jax.data.classification import (
    ClassificationTestBatch as ClassificationTestBatch,
)
from carafe_jax.data.classification import Source as Source
from carafe_jax.data.classification import (
    TooManyBrokenImagesError as TooManyBrokenImagesError,
)
from carafe_jax.data.classification import (
    classification_test_batches as classification_test_batches,
)
from carafe_jax.data.classification import (
    classification_training_batches as classification_training_batches,
)
from carafe_jax.data.classification import describe_source as describe_source
from carafe_jax.data.decoding import UNREADABLE as UNREADABLE
from carafe_jax.data.decoding import decode_photograph as decode_photograph
from carafe_jax.data.decoding import to_rgb as to_rgb
from carafe_jax.data.image_folder import list_images as list_images
from carafe_jax.data.inpainting import HeldOut as HeldOut
from carafe_jax.data.inpainting import InpaintingBatch as InpaintingBatch
from carafe_jax.data.inpainting import InpaintingData as InpaintingData
from carafe_jax.data.inpainting import held_out_examples as held_out_examples
from carafe_jax.data.inpainting import open_held_out as open_held_out
from carafe_jax.data.inpainting import stack_examples as stack_examples
from carafe_jax.data.inpainting import training_batches as training_batches
from carafe_jax.data.masks import FreeFormMasks as FreeFormMasks
from carafe_jax.data.masks import free_form_mask as free_form_mask
from carafe_jax.data.photographs import Photographs as Photographs
from carafe_jax.data.photographs import open_photographs as open_photographs
from carafe_jax.data.resized_crops import decode_centre as decode_centre
