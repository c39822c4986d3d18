"""Inpainting: filling holes in photographs."""

from carafe_jax.tasks.inpainting.classic_fills import ClassicMethod as ClassicMethod
from carafe_jax.tasks.inpainting.config import (
    AdversarialInpaintingRun as AdversarialInpaintingRun,
)
from carafe_jax.tasks.inpainting.config import (
    AdversarialOptimizers as AdversarialOptimizers,
)
from carafe_jax.tasks.inpainting.config import InpaintingRun as InpaintingRun
from carafe_jax.tasks.inpainting.data import InpaintingBatch as InpaintingBatch
from carafe_jax.tasks.inpainting.data import InpaintingData as InpaintingData
from carafe_jax.tasks.inpainting.fill_classic import fill_classic as fill_classic
from carafe_jax.tasks.inpainting.loading import load as load
from carafe_jax.tasks.inpainting.loss import AdversarialLoss as AdversarialLoss
from carafe_jax.tasks.inpainting.loss import ReconstructionLoss as ReconstructionLoss
from carafe_jax.tasks.inpainting.prediction import TrainedInpainter as TrainedInpainter
from carafe_jax.tasks.inpainting.task import InpaintingTask as InpaintingTask

__all__ = [
    "AdversarialInpaintingRun",
    "AdversarialLoss",
    "AdversarialOptimizers",
    "ClassicMethod",
    "InpaintingBatch",
    "InpaintingData",
    "InpaintingRun",
    "InpaintingTask",
    "ReconstructionLoss",
    "TrainedInpainter",
    "fill_classic",
    "load",
]
