"""Image classification."""

from carafe_jax.tasks.classification.config import (
    ClassificationRun as ClassificationRun,
)
from carafe_jax.tasks.classification.data import (
    ClassificationBatch as ClassificationBatch,
)
from carafe_jax.tasks.classification.data import (
    ClassificationData as ClassificationData,
)
from carafe_jax.tasks.classification.data import SourceContents as SourceContents
from carafe_jax.tasks.classification.loading import load as load
from carafe_jax.tasks.classification.loss import CrossEntropy as CrossEntropy
from carafe_jax.tasks.classification.prediction import (
    TrainedClassifier as TrainedClassifier,
)
from carafe_jax.tasks.classification.task import (
    ClassificationTask as ClassificationTask,
)

__all__ = [
    "ClassificationBatch",
    "ClassificationData",
    "ClassificationRun",
    "ClassificationTask",
    "CrossEntropy",
    "SourceContents",
    "TrainedClassifier",
    "load",
]
