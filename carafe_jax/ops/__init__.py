"""Arrays in, arrays out: the operator, and the boxes of detectors."""

from carafe_jax.ops.boxes import Boxes as Boxes
from carafe_jax.ops.boxes import box_areas as box_areas
from carafe_jax.ops.boxes import clip_boxes as clip_boxes
from carafe_jax.ops.boxes import pairwise_iou as pairwise_iou
from carafe_jax.ops.dispatch import Implementation as Implementation
from carafe_jax.ops.dispatch import interpret_kernels as interpret_kernels
from carafe_jax.ops.dtypes import wide_dtype as wide_dtype
from carafe_jax.ops.reassembly import Normalizer as Normalizer
from carafe_jax.ops.reassembly import Scale as Scale
from carafe_jax.ops.reassembly import kernels_of_logits as kernels_of_logits
from carafe_jax.ops.reassembly import parse_scale as parse_scale
from carafe_jax.ops.reassembly import reassemble as reassemble
from carafe_jax.ops.reassembly import reassemble_logits as reassemble_logits
from carafe_jax.ops.sharding import batch_axes as batch_axes
from carafe_jax.ops.sharding import channel_axes as channel_axes
from carafe_jax.ops.sharding import row_axes as row_axes

__all__ = [
    "Boxes",
    "Implementation",
    "Normalizer",
    "Scale",
    "batch_axes",
    "box_areas",
    "channel_axes",
    "clip_boxes",
    "interpret_kernels",
    "kernels_of_logits",
    "pairwise_iou",
    "parse_scale",
    "reassemble",
    "reassemble_logits",
    "row_axes",
    "wide_dtype",
]
