"""Configuration of a detection run."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from carafe_jax.data.sources.opening import check_annotated_source
from carafe_jax.errors import RefusedError
from carafe_jax.models.backbones.choices import StemChoice
from carafe_jax.models.detection import DetectorConfig
from carafe_jax.tasks.detection.data import DetectionData
from carafe_jax.tasks.detection.optimizer import DetectionOptimizer
from carafe_jax.tasks.detection.quality import COLUMNS
from carafe_jax.tasks.detection.task import DetectionTask
from carafe_jax.tasks.detection.training_settings import DetectionTraining
from carafe_jax.tasks.pytorch_weights import convert_detector
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.train import SGD, Adam, Loop, Variables, unstored_field


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionRun(RunConfig):
    """Train a detector on annotated photographs."""

    task = "detection"
    best = DetectionTask.best
    columns = COLUMNS

    workdir: pathlib.Path = unstored_field(pathlib.Path("runs/detection/default"))
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop = Loop(epochs=12, save_every=1000)
    """Length of the run, and intervals of logging, evaluation and saving."""
    data: DetectionData = DetectionData(source="coco")
    """Photographs with their objects."""
    network: DetectorConfig = DetectorConfig()
    """Architecture of the detector."""
    training: DetectionTraining = DetectionTraining()
    """Matching and sampling; the defaults are those of mmdetection."""
    optimizer: DetectionOptimizer = DetectionOptimizer()
    """Optimizer and schedule. The frozen stages of the network are added to its
    `frozen` parameters."""

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        return self.network.name

    @property
    def stem(self) -> StemChoice:
        """Stem of the network's ResNet."""
        return self.network.stem

    @property
    def optimization(self) -> SGD | Adam:
        """The optimizer, for the batch size and the frozen stages."""
        return self.optimizer.scaled(
            batch_size=self.data.batch_size, frozen=self.network.frozen_patterns
        )

    def convert_weights(self, state_dict: Mapping[str, Any]) -> Variables:
        """Return the weights of a detector of mmdetection or a ResNet of torchvision.

        Those of a detector with other classes fit up to the last layers of its heads.
        """
        return convert_detector(state_dict)

    def make_task(self) -> DetectionTask:
        """Read the annotations, and make the detector.

        Raises:
          RefusedError: The data cannot be used; or a part of the network is frozen, and
            would keep the values of the initializers.
        """
        check_annotated_source(
            self.data.source,
            test_split=self.data.test_split,
            masks="required" if self.network.has_masks else "optional",
        )
        self._check_frozen()
        return DetectionTask(
            self.network,
            self.data,
            training=self.training,
            network_name=self.network_name,
        )

    def _check_frozen(self) -> None:
        if self.start.model is not None or self.start.weights is not None:
            return
        network = self.network
        if network.norms == "frozen" or network.frozen_stages >= 0:
            raise RefusedError(
                "`start` must give the weights of a network with frozen parts, got "
                f"`network.norms` {network.norms!r} and `network.frozen_stages` "
                f"{network.frozen_stages} without any. A backbone: `--start.weights "
                "FILE` of torchvision or mmdetection, or `--start.model RUN` of "
                "classification. To train from scratch: `--network.norms batch "
                "--network.frozen-stages -1`."
            )
