"""Operators on arrays: the reassembly of CARAFE++, and those of whole networks."""

from carafe_jax.ops.adaptive_pool import adaptive_average_pool as adaptive_average_pool
from carafe_jax.ops.anchors import anchor_grid as anchor_grid
from carafe_jax.ops.anchors import anchor_validity as anchor_validity
from carafe_jax.ops.bilinear_sampling import sample_bilinear as sample_bilinear
from carafe_jax.ops.bitmap_crop import crop_bitmaps as crop_bitmaps
from carafe_jax.ops.box_coder import decode_boxes as decode_boxes
from carafe_jax.ops.box_coder import encode_boxes as encode_boxes
from carafe_jax.ops.boxes import Boxes as Boxes
from carafe_jax.ops.boxes import box_areas as box_areas
from carafe_jax.ops.boxes import clip_boxes as clip_boxes
from carafe_jax.ops.boxes import pairwise_iou as pairwise_iou
from carafe_jax.ops.deformable_conv import (
    modulated_deformable_conv as modulated_deformable_conv,
)
from carafe_jax.ops.dispatch import Implementation as Implementation
from carafe_jax.ops.dispatch import interpret_kernels as interpret_kernels
from carafe_jax.ops.dtypes import wide_dtype as wide_dtype
from carafe_jax.ops.mask_paste import paste_masks as paste_masks
from carafe_jax.ops.matching import Matches as Matches
from carafe_jax.ops.matching import match_boxes as match_boxes
from carafe_jax.ops.matching import prepend_targets as prepend_targets
from carafe_jax.ops.multiclass_nms import ClassDetections as ClassDetections
from carafe_jax.ops.multiclass_nms import multiclass_nms as multiclass_nms
from carafe_jax.ops.nms import Kept as Kept
from carafe_jax.ops.nms import nms as nms
from carafe_jax.ops.point_wise_attention import attention_pairs as attention_pairs
from carafe_jax.ops.reassembly import Normalizer as Normalizer
from carafe_jax.ops.reassembly import Scale as Scale
from carafe_jax.ops.reassembly import kernels_of_logits as kernels_of_logits
from carafe_jax.ops.reassembly import parse_scale as parse_scale
from carafe_jax.ops.reassembly import reassemble as reassemble
from carafe_jax.ops.reassembly import reassemble_logits as reassemble_logits
from carafe_jax.ops.roi_align import roi_align as roi_align
from carafe_jax.ops.roi_align import roi_levels as roi_levels
from carafe_jax.ops.sampling import Sampler as Sampler
from carafe_jax.ops.sampling import Samples as Samples
from carafe_jax.ops.sampling import random_sampler as random_sampler
from carafe_jax.ops.sampling import sample_boxes as sample_boxes
from carafe_jax.ops.sampling import strided_sampler as strided_sampler
from carafe_jax.ops.sharding import batch_axes as batch_axes
from carafe_jax.ops.sharding import channel_axes as channel_axes
from carafe_jax.ops.sharding import row_axes as row_axes

__all__ = [
    "Boxes",
    "ClassDetections",
    "Implementation",
    "Kept",
    "Matches",
    "Normalizer",
    "Sampler",
    "Samples",
    "Scale",
    "adaptive_average_pool",
    "anchor_grid",
    "anchor_validity",
    "attention_pairs",
    "batch_axes",
    "box_areas",
    "channel_axes",
    "clip_boxes",
    "crop_bitmaps",
    "decode_boxes",
    "encode_boxes",
    "interpret_kernels",
    "kernels_of_logits",
    "match_boxes",
    "modulated_deformable_conv",
    "multiclass_nms",
    "nms",
    "pairwise_iou",
    "parse_scale",
    "paste_masks",
    "prepend_targets",
    "random_sampler",
    "reassemble",
    "reassemble_logits",
    "roi_align",
    "roi_levels",
    "row_axes",
    "sample_bilinear",
    "sample_boxes",
    "strided_sampler",
    "wide_dtype",
]
