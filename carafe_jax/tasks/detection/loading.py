"""Loads trained detectors: of runs, and of mmdetection's checkpoints."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax.arguments import check_class_names
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.interop import load_state_dict, mmdetection_to_flax
from carafe_jax.models.detection import (
    MMDETECTION_CONFIGS,
    FasterRCNN,
    MaskRCNN,
    MMDetectionName,
)
from carafe_jax.tasks.detection.categories import CATEGORIES_FILE, Categories
from carafe_jax.tasks.detection.coco_classes import coco_categories
from carafe_jax.tasks.detection.config import DetectionRun
from carafe_jax.tasks.detection.data import DetectionData
from carafe_jax.tasks.detection.prediction import TrainedDetector
from carafe_jax.tasks.run_folder import open_run_of
from carafe_jax.train import CheckpointChoice, Variables, restore_trained

_SHOWN = 3  # Names in an error.


@no_type_check
def load(
    model: str | os.PathLike[str],
    *,
    which: CheckpointChoice = "best",
    argument: str = "model",
) -> TrainedDetector:
    """Load a checkpoint of a run.

    Args:
      model: Folder of the run.
      which: The checkpoint: the best by AP of the boxes, or the last.
      argument: Name of the argument that holds the folder, for errors.

    Raises:
      RefusedError: The folder holds no detection run, or no such checkpoint.
    """
    model = pathlib.Path(model)
    config = open_run_of(model, (DetectionRun,), argument=argument)
    categories = CATEGORIES_FILE.read(model, argument=argument)
    variables, step = restore_trained(
        model, best=config.best, which=which, argument=argument
    )
    return TrainedDetector(
        network=config.network.make(len(categories.names)),
        variables=variables,
        name=config.network_name,
        dtype=config.network.dtype,
        categories=categories,
        data=config.data,
        step=step,
    )


@no_type_check
def load_mmdetection(
    file: str | os.PathLike[str],
    *,
    config: MMDetectionName,
    classes: Sequence[str] | None = None,
    argument: str = "file",
) -> TrainedDetector:
    """Load a checkpoint of mmdetection.

    Photographs are resized as mmdetection does at test time, and each is padded to
    multiples of 32 pixels, or of 64 in configurations with CARAFE.

    Args:
      file: Checkpoint, .pth, or its weights as .safetensors or .npz.
      config: Configuration of mmdetection that trained it.
      classes: Names of the classes, by label. None: those of COCO.
      argument: Name of the argument that holds the path, for errors.

    Raises:
      RefusedError: The file cannot be read, its weights are not those of the
        configuration, or it has other classes than COCO's and `classes` is None; or
        `classes` are not different names.
    """
    if classes is not None:
        check_class_names("classes", classes)
    if config not in MMDETECTION_CONFIGS:
        raise RefusedError(
            f"`config` must be one of {', '.join(MMDETECTION_CONFIGS)}, got {config!r}."
        )
    state_dict = load_state_dict(file, argument=argument)
    try:
        variables = mmdetection_to_flax(state_dict)
    except RefusedError as error:
        raise RefusedError(f"{os.fspath(file)}: {error}") from error
    count = variables["params"]["box_head"]["logits"]["bias"].size - 1
    categories = _categories(count, classes, file)
    network = MMDETECTION_CONFIGS[config].make(count)
    _check_variables(variables, network, file=file, config=config)
    return TrainedDetector(
        network=network,
        variables=jax.device_put(variables),
        name=config,
        dtype="float32",
        categories=categories,
        data=DetectionData(source="tfds:coco/2017", test_padding="exact"),
        step=None,
        size_divisor=MMDETECTION_CONFIGS[config].size_divisor,
    )


def _categories(
    count: int, classes: Sequence[str] | None, file: str | os.PathLike[str]
) -> Categories:
    """Return the classes of a checkpoint with `count` classes."""
    coco = coco_categories()
    if classes is None and count == len(coco.names):
        return coco
    if classes is None or len(classes) != count:
        given = "none" if classes is None else f"{len(classes)} of them"
        raise RefusedError(
            f"`classes` must name the {count} classes of {os.fspath(file)}, got "
            f"{given}."
        )
    return Categories(tuple(classes), tuple(range(1, count + 1)))


def _check_variables(
    variables: Variables,
    network: FasterRCNN | MaskRCNN,
    *,
    file: str | os.PathLike[str],
    config: str,
) -> None:
    """Raise unless a checkpoint has the arrays of the network, of the same shapes."""
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    own = _shapes(jax.eval_shape(network.init, jax.random.key(0), images, sizes))
    given = _shapes(variables)
    faults = [
        *(f"{name} is missing" for name in own if name not in given),
        *(f"{name} is unexpected" for name in given if name not in own),
        *(
            f"{name} has the shape {given[name]}, not {own[name]}"
            for name in own
            if name in given and given[name] != own[name]
        ),
    ]
    if faults:
        more = len(faults) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise RefusedError(
            f"`config` must be the configuration that trained {os.fspath(file)}, got "
            f"{config!r}: {'; '.join(faults[:_SHOWN])}{rest}."
        )


def _shapes(variables: Any) -> Mapping[str, tuple[int, ...]]:
    tools: Any = jax.tree_util  # The type of a path is partly unknown.
    return {
        tools.keystr(path, simple=True, separator="/"): np.shape(x)
        for path, x in tools.tree_leaves_with_path(variables)
    }
