"""Metrics of image quality."""

from carafe_jax.metrics.image_quality import ImageQuality as ImageQuality
from carafe_jax.metrics.image_quality import InpaintingQuality as InpaintingQuality
from carafe_jax.metrics.image_quality import inpainting_quality as inpainting_quality
from carafe_jax.metrics.image_quality import ssim_map as ssim_map
from carafe_jax.metrics.image_quality import to_unit_range as to_unit_range

__all__ = [
    "ImageQuality",
    "InpaintingQuality",
    "inpainting_quality",
    "ssim_map",
    "to_unit_range",
]
