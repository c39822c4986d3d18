"""Configuration of a segmentation run."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from carafe_jax.data import ColourJitter
from carafe_jax.models.backbones.choices import StemChoice
from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.pytorch_weights import convert_segmenter
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.tasks.segmentation.data import SegmentationData
from carafe_jax.tasks.segmentation.optimizer import SegmentationOptimizer
from carafe_jax.tasks.segmentation.quality import COLUMNS
from carafe_jax.tasks.segmentation.task import SegmentationTask
from carafe_jax.tasks.segmentation.training_settings import SegmentationTraining
from carafe_jax.train import SGD, Adam, Loop, Variables, unstored_field


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationRun(RunConfig):
    """Train a network that classifies each pixel of photographs."""

    task = "segmentation"
    best = SegmentationTask.best
    columns = COLUMNS

    workdir: pathlib.Path = unstored_field(pathlib.Path("runs/segmentation/default"))
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop = Loop(steps=100_000, evaluate_every=5000, save_every=1000)
    """Length of the run, and intervals of logging, evaluation and saving."""
    data: SegmentationData = SegmentationData(source="ADEChallengeData2016")
    """Photographs with their label maps."""
    network: SegmenterConfig = SegmenterConfig()
    """Architecture of the network."""
    training: SegmentationTraining = SegmentationTraining()
    """Loss to minimise."""
    jitter: ColourJitter = ColourJitter()
    """Colour jitter of training images; none by default, as in the paper."""
    optimizer: SegmentationOptimizer = SegmentationOptimizer()
    """Optimizer and schedule."""

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        return self.network.name

    @property
    def stem(self) -> StemChoice | None:
        """Stem of the network's ResNet. None: it has none."""
        return self.network.stem if self.network.on_resnet else None

    @property
    def optimization(self) -> SGD | Adam:
        """The optimizer, for the batch size."""
        return self.optimizer.scaled(batch_size=self.data.batch_size)

    def convert_weights(self, state_dict: Mapping[str, Any]) -> Variables:
        """Return the weights of a network of semseg, or of a ResNet.

        The ResNet is one of torchvision, or an encoder of CSAIL's networks.
        """
        return convert_segmenter(state_dict)

    def make_task(self) -> SegmentationTask:
        """List the files of the data, and make the network."""
        return SegmentationTask(
            self.network,
            self.data,
            training=self.training,
            jitter=self.jitter,
            network_name=self.network_name,
        )
