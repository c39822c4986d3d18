"""Optimizers of detection: SGD as in mmdetection, or AdamW."""

import dataclasses

from carafe_jax.tasks.optimizer_choice import OptimizerChoice
from carafe_jax.train import SGD, Adam


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionOptimizer(OptimizerChoice):
    """Choice of the optimizer, with the fields of each."""

    sgd: SGD = SGD(
        learning_rate=0.02,
        nesterov=False,
        decayed="all",
        warmup_steps=500,
        warmup_start=0.001,
        milestones=(8 / 12, 11 / 12),
    )
    """SGD, the recipe of mmdetection; `learning_rate` is for 16 images per batch, and
    is scaled linearly with the batch size."""
    adam: Adam = Adam(weight_decay=0.05, decay="polynomial")
    """AdamW, with its `learning_rate` for any batch size."""
