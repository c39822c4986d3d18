"""What a training run is told: optimiser, length, how often to look and to save."""

import dataclasses
import json
import pathlib
from typing import Any, Literal

import jax
import optax

from carafe_jax.train.processes import is_first


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
class SGD:
    """SGD with Nesterov momentum, as Goyal et al. (arXiv:1706.02677) train ImageNet.

    The rate grows linearly in the warm-up, from a tenth, then falls in steps or by a
    cosine. Weight decay is part of the gradient, of kernels alone: parameters with more
    than one axis.
    """

    learning_rate: float = 0.1
    """After the warm-up; the paper's rule is 0.1 for each 256 examples of a batch."""
    momentum: float = 0.9
    """Decay of the sum of the gradients."""
    weight_decay: float = 1e-4
    """Of kernels; scales and biases have none."""
    warmup: float = 5 / 90
    """Part of the run over which the rate grows."""
    decay: Literal["steps", "cosine"] = "steps"
    """How the rate falls: by ten at each of `milestones`, or to zero by a cosine."""
    milestones: tuple[float, ...] = (30 / 90, 60 / 90, 80 / 90)
    """Where it falls, as parts of the run."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(
                f"`learning_rate` must be positive, got {self.learning_rate}."
            )
        if self.weight_decay < 0:
            raise ValueError(
                f"`weight_decay` must not be negative, got {self.weight_decay}."
            )
        for name in ("momentum", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must lie in [0, 1), got {getattr(self, name)}."
                )
        if self.decay not in ("steps", "cosine"):
            raise ValueError(
                f"`decay` must be 'steps' or 'cosine', got {self.decay!r}."
            )
        if list(self.milestones) != sorted(
            x for x in self.milestones if self.warmup < x <= 1
        ):
            raise ValueError(
                "`milestones` must rise, from after the warm-up to 1, "
                f"got {self.milestones}."
            )

    def schedule(self, steps: int) -> optax.Schedule:
        """Return the learning rate of each step of a run of `steps`."""
        warmup = round(self.warmup * steps)
        rate = self.learning_rate
        if self.decay == "cosine":
            after = optax.cosine_decay_schedule(rate, max(1, steps - warmup))
        else:
            drops = {round(x * steps) - warmup: 0.1 for x in self.milestones}
            after = optax.piecewise_constant_schedule(rate, drops)
        grow = optax.linear_schedule(rate / 10, rate, max(1, warmup))
        return optax.join_schedules([grow, after], [warmup])

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps`."""
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay, mask=_decayed),
            optax.sgd(self.schedule(steps), momentum=self.momentum, nesterov=True),
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
                raise ValueError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        if not 0 <= self.average_decay < 1:
            raise ValueError(
                f"`average_decay` must lie in [0, 1), got {self.average_decay}."
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
