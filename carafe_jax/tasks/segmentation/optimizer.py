"""Optimizers of segmentation: SGD as in CSAIL's code, or AdamW."""

import dataclasses

from carafe_jax.tasks.optimizer_choice import OptimizerChoice
from carafe_jax.train import SGD, Adam


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationOptimizer(OptimizerChoice):
    """Choice of the optimizer, with the fields of each."""

    sgd: SGD = SGD(
        learning_rate=0.02, nesterov=False, warmup=0.0, decay="polynomial", power=0.9
    )
    """SGD, the recipe of CSAIL's UperNet; `learning_rate` is for 16 images per batch,
    and is scaled linearly with the batch size."""
    adam: Adam = Adam(
        learning_rate=2e-3, weight_decay=0.01, decay="polynomial", power=0.9
    )
    """AdamW, with its `learning_rate` for any batch size."""
