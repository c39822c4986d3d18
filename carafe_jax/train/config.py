"""What a training run is told: its length, how often to look and to save."""

import dataclasses
import json
import pathlib
import typing
from typing import Any, TypeVar

from carafe_jax.errors import RefusedError
from carafe_jax.train.processes import is_first

Part = TypeVar("Part")
T = TypeVar("T")


def changes_no_number(default: T) -> T:
    """Return a field of a configuration that changes no number of a run.

    A run may go on with another value.

    Args:
      default: Default of the field.

    Returns:
      The field of a dataclass, typed as its default.
    """
    return dataclasses.field(default=default, metadata={"changes_no_number": True})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loop:
    """Length of a run, and how often it logs, evaluates and saves."""

    steps: int = 1000
    """Optimiser steps."""
    log_every: int = dataclasses.field(default=10, metadata={"compared": False})
    """Steps between scalars in the progress bar, the CSV and TensorBoard."""
    evaluate_every: int = 250
    """Steps between evaluations, each with a checkpoint; the last step has one."""
    save_every: int = 250
    """Steps between checkpoints without an evaluation."""
    seed: int = 0
    """Of the parameters and of what is random in a step."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after another, so that one device holds
    the activations of a part alone. Batch norms see the parts."""
    average_decay: float = 0.0
    """Decay of the moving average of the parameters that is evaluated in their place;
    0 keeps none."""
    fully_sharded: bool = dataclasses.field(default=False, metadata={"compared": False})
    """Each device holds a part of the parameters and of the optimiser's state, and
    gathers them for a step; else each holds all."""

    def __post_init__(self) -> None:
        counts = ("steps", "log_every", "evaluate_every", "save_every", "accumulate")
        for name in counts:
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        if not 0 <= self.average_decay < 1:
            raise RefusedError(
                f"`average_decay` must lie in [0, 1), got {self.average_decay}."
            )


def check_config(config: Any, *, workdir: pathlib.Path) -> None:
    """Refuse to go on with a run under another configuration than it began with.

    The first call writes `config.json` into the folder. A folder without a checkpoint
    holds nothing to go on with, and takes any configuration. Fields made by
    `changes_no_number` may differ.

    Args:
      config: A dataclass.
      workdir: Folder of the run; made where it does not exist.

    Raises:
      RefusedError: The folder holds checkpoints of a run with another configuration.
        The message names each field that differs.
    """
    path = workdir / "config.json"
    fields = json.loads(json.dumps(_flatten(config)))
    if not path.exists() or not any((workdir / "checkpoints").glob("[0-9]*")):
        if not is_first():
            return
        workdir.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(fields, indent=2) + "\n")
        partial.replace(path)
        return
    stored = json.loads(path.read_text())
    differences = [
        f"`{name}` is {_shown(fields, name)} but was {_shown(stored, name)}"
        for name in sorted({*fields, *stored})
        if _shown(fields, name) != _shown(stored, name)
    ]
    if differences:
        raise RefusedError(
            f"The run in {workdir} was started with another configuration: "
            f"{'; '.join(differences)}. Give it the same values to go on, or another "
            "`workdir` to start afresh."
        )


def restore_part(workdir: pathlib.Path, name: str, kind: type[Part]) -> Part:
    """Rebuild a part of the configuration that a run was started with.

    Args:
      workdir: Folder of the run, with the `config.json` of `check_config`.
      name: Field of the configuration: "data", say.
      kind: Dataclass of that field.

    Returns:
      The part, with the defaults of fields that change no number.

    Raises:
      RefusedError: The file does not exist or has no such field.
    """
    path = workdir / "config.json"
    fields = json.loads(path.read_text()) if path.exists() else {}
    if not any(field.startswith(f"{name}.") for field in fields):
        raise RefusedError(
            f"`workdir` must be the folder of a run whose configuration has "
            f"`{name}`, got {str(workdir)!r}."
        )
    return _unflatten(kind, fields, f"{name}.")


def _unflatten(kind: type[Part], fields: dict[str, Any], prefix: str) -> Part:
    kinds, values = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(typing.cast(Any, kind)):
        name, inner = prefix + field.name, kinds[field.name]
        if dataclasses.is_dataclass(inner):
            values[field.name] = _unflatten(
                typing.cast(type, inner), fields, f"{name}."
            )
        elif name in fields:
            values[field.name] = _tuples(fields[name])
    return kind(**values)


def _tuples(value: Any) -> Any:
    """Make of JSON's lists the tuples that they were written from."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _shown(fields: dict[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "not there"


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= _flatten(value, f"{prefix}{field.name}.")
        elif field.metadata.get("compared", True) and not field.metadata.get(
            "changes_no_number", False
        ):
            flat[prefix + field.name] = value if _is_plain(value) else str(value)
    return flat


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
