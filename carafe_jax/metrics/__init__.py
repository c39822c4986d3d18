"""Metrics of image quality and of detections."""

from carafe_jax.metrics.coco import APResult as APResult
from carafe_jax.metrics.coco import average_precision as average_precision
from carafe_jax.metrics.image_quality import ImageQuality as ImageQuality
from carafe_jax.metrics.image_quality import InpaintingQuality as InpaintingQuality
from carafe_jax.metrics.image_quality import inpainting_quality as inpainting_quality
from carafe_jax.metrics.image_quality import ssim_map as ssim_map
from carafe_jax.metrics.image_quality import to_unit_range as to_unit_range
from carafe_jax.metrics.lattice import lattice_energy as lattice_energy
from carafe_jax.metrics.lattice import lattice_map as lattice_map
from carafe_jax.metrics.segmentation import SegmentationQuality as SegmentationQuality
from carafe_jax.metrics.segmentation import confusion_matrix as confusion_matrix
from carafe_jax.metrics.segmentation import segmentation_quality as segmentation_quality

__all__ = [
    "APResult",
    "ImageQuality",
    "InpaintingQuality",
    "SegmentationQuality",
    "average_precision",
    "confusion_matrix",
    "inpainting_quality",
    "lattice_energy",
    "lattice_map",
    "segmentation_quality",
    "ssim_map",
    "to_unit_range",
]
