"""Photographs, and images with labels, objects or label maps, in batches of NumPy."""

from carafe_jax.data.batches import BatchIterator as BatchIterator
from carafe_jax.data.batches import BatchOptions as BatchOptions
from carafe_jax.data.batches import ProcessShard as ProcessShard
from carafe_jax.data.batches import batches_of_all as batches_of_all
from carafe_jax.data.batches import endless_batches as endless_batches
from carafe_jax.data.decoding import UnreadableImageError as UnreadableImageError
from carafe_jax.data.decoding import decode_image as decode_image
from carafe_jax.data.decoding import decode_photograph as decode_photograph
from carafe_jax.data.decoding import open_image as open_image
from carafe_jax.data.decoding import to_rgb as to_rgb
from carafe_jax.data.decoding import to_rgba as to_rgba
from carafe_jax.data.decoding import upright as upright
from carafe_jax.data.decoding import upright_size as upright_size
from carafe_jax.data.grouped_batches import (
    batches_of_all_groups as batches_of_all_groups,
)
from carafe_jax.data.grouped_batches import (
    endless_batches_of_groups as endless_batches_of_groups,
)
from carafe_jax.data.grouped_order import GroupedOrder as GroupedOrder
from carafe_jax.data.grouped_order import Visit as Visit
from carafe_jax.data.sources import IGNORED_LABEL as IGNORED_LABEL
from carafe_jax.data.sources import RLE as RLE
from carafe_jax.data.sources import AnnotatedImages as AnnotatedImages
from carafe_jax.data.sources import AnnotationKind as AnnotationKind
from carafe_jax.data.sources import DecodedPhotographs as DecodedPhotographs
from carafe_jax.data.sources import EncodedImages as EncodedImages
from carafe_jax.data.sources import Finding as Finding
from carafe_jax.data.sources import Findings as Findings
from carafe_jax.data.sources import ImageObjects as ImageObjects
from carafe_jax.data.sources import LabelledImages as LabelledImages
from carafe_jax.data.sources import MissingSplitError as MissingSplitError
from carafe_jax.data.sources import NamedImages as NamedImages
from carafe_jax.data.sources import Photographs as Photographs
from carafe_jax.data.sources import PhotographsTooSmallError as PhotographsTooSmallError
from carafe_jax.data.sources import SegmentedImages as SegmentedImages
from carafe_jax.data.sources import Split as Split
from carafe_jax.data.sources import TestSplit as TestSplit
from carafe_jax.data.sources import (
    TooManyUnreadableImagesError as TooManyUnreadableImagesError,
)
from carafe_jax.data.sources import UnreadableImages as UnreadableImages
from carafe_jax.data.sources import decode_mask as decode_mask
from carafe_jax.data.sources import list_images as list_images
from carafe_jax.data.sources import open_annotated_images as open_annotated_images
from carafe_jax.data.sources import open_labelled_images as open_labelled_images
from carafe_jax.data.sources import open_photographs as open_photographs
from carafe_jax.data.sources import open_segmented_images as open_segmented_images
from carafe_jax.data.sources import unlogged_findings as unlogged_findings
from carafe_jax.data.transforms import IMAGENET_MEAN as IMAGENET_MEAN
from carafe_jax.data.transforms import IMAGENET_STD as IMAGENET_STD
from carafe_jax.data.transforms import Box as Box
from carafe_jax.data.transforms import ColourJitter as ColourJitter
from carafe_jax.data.transforms import FreeFormHoles as FreeFormHoles
from carafe_jax.data.transforms import centre_box as centre_box
from carafe_jax.data.transforms import decode_box as decode_box
from carafe_jax.data.transforms import decode_centre as decode_centre
from carafe_jax.data.transforms import free_form_hole as free_form_hole
from carafe_jax.data.transforms import random_box as random_box
from carafe_jax.data.transforms import random_crop as random_crop

__all__ = [
    "IGNORED_LABEL",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "RLE",
    "AnnotatedImages",
    "AnnotationKind",
    "BatchIterator",
    "BatchOptions",
    "Box",
    "ColourJitter",
    "DecodedPhotographs",
    "EncodedImages",
    "Finding",
    "Findings",
    "FreeFormHoles",
    "GroupedOrder",
    "ImageObjects",
    "LabelledImages",
    "MissingSplitError",
    "NamedImages",
    "Photographs",
    "PhotographsTooSmallError",
    "ProcessShard",
    "SegmentedImages",
    "Split",
    "TestSplit",
    "TooManyUnreadableImagesError",
    "UnreadableImageError",
    "UnreadableImages",
    "Visit",
    "batches_of_all",
    "batches_of_all_groups",
    "centre_box",
    "decode_box",
    "decode_centre",
    "decode_image",
    "decode_mask",
    "decode_photograph",
    "endless_batches",
    "endless_batches_of_groups",
    "free_form_hole",
    "list_images",
    "open_annotated_images",
    "open_image",
    "open_labelled_images",
    "open_photographs",
    "open_segmented_images",
    "random_box",
    "random_crop",
    "to_rgb",
    "to_rgba",
    "unlogged_findings",
    "upright",
    "upright_size",
]
