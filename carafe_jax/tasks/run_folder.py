"""The folder of a run: its task and its stored configuration."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import TypeVar

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_local
from carafe_jax.interop.weights_file import check_weights_file, load_state_dict
from carafe_jax.models.backbones.choices import StemChoice, stem_of
from carafe_jax.tasks.registry import TASKS, RegisteredTask
from carafe_jax.tasks.renamed_fields import with_current_names
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.train import (
    CheckpointChoice,
    StoredConfig,
    Variables,
    check_config,
    has_checkpoints,
    read_config,
    restore,
    restore_trained,
)
from carafe_jax.train.stored_config import compare_config

Run = TypeVar("Run", bound=RunConfig)
_SHOWN = 3  # Runs in an error.


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """The folder of a run, with its task and configuration."""

    workdir: pathlib.Path
    task: RegisteredTask
    config: RunConfig


def open_run(workdir: pathlib.Path, *, argument: str = "model") -> OpenedRun:
    """Read the task and the configuration of a run from its folder.

    Args:
      workdir: Folder of a run.
      argument: Name of the argument that holds the folder, for errors.

    Raises:
      RefusedError: The folder holds no run, or one of a task that this version does
        not know.
    """
    check_local(argument, workdir)
    for name in ("config.json", "checkpoints"):
        if not (workdir / name).exists():
            raise RefusedError(
                f"`{argument}` must be the folder of a run, with config.json and "
                f"checkpoints, got {str(workdir)!r}, which lacks {name}."
                f"{_runs_within(workdir)}"
            )
    stored = upgrade(read_config(workdir))
    if stored.task not in TASKS:
        raise RefusedError(
            f"`{argument}` must be the folder of a run of one of {', '.join(TASKS)}, "
            f"got {str(workdir)!r}, of the task {stored.task!r}."
        )
    task = TASKS[stored.task]
    try:
        config = restore(task.run_class, {**stored.fields, "workdir": str(workdir)})
    except RefusedError as error:
        raise RefusedError(f"{workdir / 'config.json'}: {error}") from error
    return OpenedRun(workdir, task, config)


def open_run_of(
    model: pathlib.Path, kinds: tuple[type[Run], ...], *, argument: str = "model"
) -> Run:
    """Return the configuration of a run of some tasks.

    Args:
      model: Folder of the run.
      kinds: Classes of the configurations of these tasks.
      argument: Name of the argument that holds the folder, for errors.

    Raises:
      RefusedError: The folder holds no run, or one of another task.
    """
    config = open_run(model, argument=argument).config
    if not isinstance(config, kinds):
        raise RefusedError(
            f"`{argument}` must be the folder of a run of {kinds[0].task}, got "
            f"{str(model)!r}, of the task {config.task!r}."
        )
    return config


def _runs_within(folder: pathlib.Path) -> str:
    """Return a sentence that names the runs in a folder, or an empty string."""
    runs = [str(x.parent) for x in sorted(folder.glob("*/config.json"))]
    if not runs:
        return ""
    more = len(runs) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return f" It holds runs: {', '.join(runs[:_SHOWN])}{rest}."


def starting_weights(config: RunConfig) -> Callable[[], Variables] | None:
    """Return a function that loads the initial weights of a run; None without any.

    It is called when a run starts, so that a resumed run does not need the weights.

    Args:
      config: Configuration of the run that starts from them.
    """
    start = config.start
    if start.model is not None:
        return functools.partial(_weights_of_run, start.model, which=start.which)
    if start.weights is not None:
        return functools.partial(_weights_of_file, start.weights, config=config)
    return None


def _weights_of_run(model: pathlib.Path, *, which: CheckpointChoice) -> Variables:
    argument = "start.model"
    best = open_run(model, argument=argument).config.best
    return restore_trained(model, best=best, which=which, argument=argument)[0]


def _weights_of_file(path: pathlib.Path, *, config: RunConfig) -> Variables:
    state_dict = load_state_dict(path, argument="start.weights")
    try:
        weights = config.convert_weights(state_dict)
    except RefusedError as error:
        raise RefusedError(f"{path}: {error}") from error
    _check_stem(config, stem_of(weights), path)
    return weights


def check_run(config: RunConfig) -> None:
    """Raise if a run cannot start, or be resumed, with a configuration.

    Nothing is written into the folder of a new run, so that one that is refused later,
    when its data are opened, leaves nothing behind.

    Raises:
      RefusedError: The folder holds checkpoints of a run with another configuration;
        or the run or the file to start from does not exist, or the run's network has
        another stem.
    """
    if not has_checkpoints(config.workdir):
        _check_start(config)
    compare_config(config, workdir=config.workdir, task=config.task, upgrade=upgrade)


def _check_start(config: RunConfig) -> None:
    start = config.start
    if start.model is not None:
        given = open_run(start.model, argument="start.model").config
        _check_stem(config, given.stem, start.model)
    if start.weights is not None:
        check_weights_file("start.weights", start.weights)


def _check_stem(
    config: RunConfig, given: StemChoice | None, source: pathlib.Path
) -> None:
    """Raise if the weights to start from are those of another stem.

    The other layers would be loaded, behind a stem with initial values that they were
    not trained with.

    Args:
      config: Configuration of the run that starts.
      given: Stem of the weights. None: they are not of a ResNet.
      source: Run or file of the weights.
    """
    rule = f"be {given!r}, that of the weights to start from, {source}"
    holds = given is None or config.stem in (None, given)
    check("network.stem", config.stem, rule, holds=holds)


def store_config(config: RunConfig) -> None:
    """Write the configuration of a run that `check_run` has checked."""
    check_config(config, workdir=config.workdir, task=config.task, upgrade=upgrade)


def upgrade(stored: StoredConfig) -> StoredConfig:
    """Convert the fields that a run of an earlier version stored.

    Format 1 did not name its task, called the network `model` and kept the length of
    classification runs outside of `loop`. Later versions renamed some fields.
    """
    if stored.format == 1:
        stored = _upgrade_format_1(stored)
    return dataclasses.replace(stored, fields=with_current_names(stored.fields))


def _upgrade_format_1(stored: StoredConfig) -> StoredConfig:
    fields = dict(stored.fields)
    if "generator.width" in fields:
        return StoredConfig(format=2, task="adversarial-inpainting", fields=fields)
    if "model.depth" in fields:
        task, names = "classification", _CLASSIFICATION
        # The length was in epochs, and a loop has one length.
        fields["loop.steps"] = None
    else:
        task, names = "inpainting", {}
    renamed = {names.get(name, _renamed(name)): value for name, value in fields.items()}
    return StoredConfig(format=2, task=task, fields=renamed)


def _renamed(name: str) -> str:
    rest = name.removeprefix("model.")
    return name if rest == name else f"network.{rest}"


_CLASSIFICATION = {
    "data.broken_limit": "data.unreadable_limit",
    **{
        name: f"loop.{name}"
        for name in (
            "epochs",
            "evaluate_every",
            "save_every",
            "accumulate",
            "average_decay",
            "seed",
        )
    },
}
