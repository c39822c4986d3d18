"""Configuration of a classification run."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from carafe_jax.data import ColourJitter
from carafe_jax.models import ClassifierConfig
from carafe_jax.models.backbones.choices import StemChoice
from carafe_jax.tasks.classification.data import ClassificationData
from carafe_jax.tasks.classification.loss import CrossEntropy
from carafe_jax.tasks.classification.quality import COLUMNS
from carafe_jax.tasks.classification.task import ClassificationTask
from carafe_jax.tasks.pytorch_weights import convert_resnet
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.train import SGD, Loop, Variables, unstored_field

_REFERENCE_BATCH_SIZE = 256  # Goyal et al. 2017, section 2.1.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationRun(RunConfig):
    """Train a ResNet on labelled images."""

    task = "classification"
    best = ClassificationTask.best
    columns = COLUMNS

    workdir: pathlib.Path = unstored_field(pathlib.Path("runs/classification/default"))
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop = Loop(epochs=90, save_every=1000)
    """Length of the run, and intervals of logging, evaluation and saving."""
    data: ClassificationData = ClassificationData(
        source="tfds:imagenet2012", batch_size=1024
    )
    """Images and crops."""
    network: ClassifierConfig = ClassifierConfig()
    """Architecture of the network."""
    loss: CrossEntropy = CrossEntropy()
    """Loss to minimise."""
    jitter: ColourJitter = ColourJitter()
    """Colour jitter of training images; none by default, as in the paper."""
    optimizer: SGD = SGD()
    """Optimizer and schedule. `learning_rate` is for 256 images per batch, and is
    scaled linearly with the batch size."""

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        return f"ResNet-{self.network.depth}, {self.network.downsampler}"

    @property
    def stem(self) -> StemChoice:
        """Stem of the network's ResNet."""
        return self.network.stem

    @property
    def optimization(self) -> SGD:
        """The optimizer with its learning rate scaled to the batch size."""
        rate = (
            self.optimizer.learning_rate * self.data.batch_size / _REFERENCE_BATCH_SIZE
        )
        return dataclasses.replace(self.optimizer, learning_rate=rate)

    def convert_weights(self, state_dict: Mapping[str, Any]) -> Variables:
        """Return the weights of a ResNet of torchvision, with or without classifier."""
        return convert_resnet(state_dict)

    def make_task(self) -> ClassificationTask:
        """Look up the classes of the data, and make the network."""
        return ClassificationTask(
            self.network,
            self.data,
            loss=self.loss,
            jitter=self.jitter,
            network_name=self.network_name,
        )
