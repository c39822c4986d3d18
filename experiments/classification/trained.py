"""A finished or running classification run, loaded to be used."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Array, Float, UInt8

from carafe_jax.errors import RefusedError
from carafe_jax.models import Classifier
from carafe_jax.tasks.classification.data import ClassificationData
from carafe_jax.train import Variables, Which, restore_part, restore_trained
from experiments.classification.network import Model
from experiments.classification.task import normalize


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network with its variables, and what its images look like."""

    network: Classifier
    variables: Variables
    dtype: str
    classes: tuple[str, ...]
    image_size: int
    resize_size: int
    step: int

    def logits(
        self, image: UInt8[Array | np.ndarray, "n h w 3"]
    ) -> Float[Array, "n k"]:
        """Classify images, RGB in [0, 255]."""
        pixels = normalize(image).astype(self.dtype)
        logits: Any = self.network.apply(self.variables, pixels)
        return logits


def write_classes(workdir: pathlib.Path, classes: tuple[str, ...]) -> None:
    """Write the names of the classes beside the configuration of a run."""
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "classes.json").write_text(json.dumps(classes, indent=0) + "\n")


def load(workdir: pathlib.Path, *, which: Which) -> Trained:
    """Load a checkpoint of a run.

    Args:
      workdir: Folder of the run.
      which: The checkpoint: the best by top-1, or the last.

    Raises:
      RefusedError: The folder holds no such checkpoint.
    """
    missing = [
        name
        for name in ("config.json", "classes.json", "checkpoints")
        if not (workdir / name).exists()
    ]
    if missing:
        raise RefusedError(
            f"`workdir` must be the folder of a classification run, got "
            f"{str(workdir)!r}, which lacks {', '.join(missing)}."
        )
    classes = tuple(json.loads((workdir / "classes.json").read_text()))
    model = restore_part(workdir, "model", Model)
    variables, step = restore_trained(workdir, best="top1", which=which)
    data = restore_part(workdir, "data", ClassificationData)
    return Trained(
        network=model.make(len(classes)),
        variables=variables,
        dtype=model.dtype,
        classes=classes,
        image_size=data.image_size,
        resize_size=data.resize_size,
        step=step,
    )
