"""What a training run is told: optimiser, length, how often to look and to save."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import optax


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Adam with a linear warm-up and a cosine decay to zero."""

    learning_rate: float = 1e-3
    """At the end of the warm-up."""
    warmup_steps: int = 50
    """Steps over which the learning rate grows from zero."""
    beta1: float = 0.9
    """Decay of the mean of the gradients."""
    beta2: float = 0.99
    """Decay of the mean of their squares."""
    weight_decay: float = 0.0
    """Decoupled weight decay of every parameter with more than one axis."""
    clip_norm: float = 1.0
    """Largest global norm of the gradients; larger ones are scaled down."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"`{name}` must not be negative, got {getattr(self, name)}."
                )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must lie in [0, 1), got {getattr(self, name)}."
                )

    def schedule(self, steps: int) -> optax.Schedule:
        """Return the learning rate of each step of a run of `steps`."""
        warmup = min(self.warmup_steps, steps - 1)
        return optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, warmup, steps
        )

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps`."""
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            optax.adamw(
                self.schedule(steps),
                b1=self.beta1,
                b2=self.beta2,
                weight_decay=self.weight_decay,
                mask=_decayed,
            ),
        )


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

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "evaluate_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )


def check_config(config: Any, *, workdir: pathlib.Path) -> None:
    """Refuse to go on with a run under another configuration than it began with.

    The first call writes `config.json` into the folder. A folder without a checkpoint
    holds nothing to go on with, and takes any configuration. Fields with the metadata
    `{"compared": False}` change no number and may differ.

    Args:
      config: A dataclass.
      workdir: Folder of the run; made where it does not exist.

    Raises:
      ValueError: The folder holds checkpoints of a run with another configuration. The
        message names each field that differs.
    """
    path = workdir / "config.json"
    fields = json.loads(json.dumps(_flatten(config)))
    if not path.exists() or not any((workdir / "checkpoints").glob("[0-9]*")):
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
        raise ValueError(
            f"The run in {workdir} was started with another configuration: "
            f"{'; '.join(differences)}. Give it the same values to go on, or another "
            "`workdir` to start afresh."
        )


def _shown(fields: dict[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "not there"


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= _flatten(value, f"{prefix}{field.name}.")
        elif field.metadata.get("compared", True):
            flat[prefix + field.name] = value if _is_plain(value) else str(value)
    return flat


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _decayed(params: Any) -> Any:
    return jax.tree.map(lambda x: x.ndim > 1, params)
