"""Sources of images: folders, TensorFlow Datasets, built-in photographs."""

from carafe_jax.data.sources.annotated import AnnotatedImages as AnnotatedImages
from carafe_jax.data.sources.annotated import AnnotationKind as AnnotationKind
from carafe_jax.data.sources.annotated import ImageObjects as ImageObjects
from carafe_jax.data.sources.builtin import (
    PhotographsTooSmallError as PhotographsTooSmallError,
)
from carafe_jax.data.sources.decoded import DecodedPhotographs as DecodedPhotographs
from carafe_jax.data.sources.findings import Finding as Finding
from carafe_jax.data.sources.findings import Findings as Findings
from carafe_jax.data.sources.findings import unlogged_findings as unlogged_findings
from carafe_jax.data.sources.folder import list_images as list_images
from carafe_jax.data.sources.images import EncodedImages as EncodedImages
from carafe_jax.data.sources.images import LabelledImages as LabelledImages
from carafe_jax.data.sources.images import NamedImages as NamedImages
from carafe_jax.data.sources.images import Photographs as Photographs
from carafe_jax.data.sources.opening import (
    open_annotated_images as open_annotated_images,
)
from carafe_jax.data.sources.opening import open_labelled_images as open_labelled_images
from carafe_jax.data.sources.opening import open_photographs as open_photographs
from carafe_jax.data.sources.opening import (
    open_segmented_images as open_segmented_images,
)
from carafe_jax.data.sources.segmented import IGNORED_LABEL as IGNORED_LABEL
from carafe_jax.data.sources.segmented import SegmentedImages as SegmentedImages
from carafe_jax.data.sources.splits import MissingSplitError as MissingSplitError
from carafe_jax.data.sources.splits import Split as Split
from carafe_jax.data.sources.splits import TestSplit as TestSplit
from carafe_jax.data.sources.unreadable import (
    TooManyUnreadableImagesError as TooManyUnreadableImagesError,
)
from carafe_jax.data.sources.unreadable import UnreadableImages as UnreadableImages
from carafe_jax.run_length_codes import RLE as RLE
from carafe_jax.run_length_codes import decode_mask as decode_mask

__all__ = [
    "IGNORED_LABEL",
    "RLE",
    "AnnotatedImages",
    "AnnotationKind",
    "DecodedPhotographs",
    "EncodedImages",
    "Finding",
    "Findings",
    "ImageObjects",
    "LabelledImages",
    "MissingSplitError",
    "NamedImages",
    "Photographs",
    "PhotographsTooSmallError",
    "SegmentedImages",
    "Split",
    "TooManyUnreadableImagesError",
    "UnreadableImages",
    "decode_mask",
    "list_images",
    "open_annotated_images",
    "open_labelled_images",
    "open_photographs",
    "open_segmented_images",
    "unlogged_findings",
]
