"""Optimizers and learning-rate schedules."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np
import optax
import optax.contrib

from carafe_jax.arguments import (
    check,
    check_below_1,
    check_choices,
    check_not_negative,
    check_positive,
)
from carafe_jax.train.parameter_groups import ParameterGroups, scaled


@runtime_checkable
class Optimizer(Protocol):
    """A factory of the optax transformation for a run of a given length."""

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps`."""
        ...

    def learning_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Return the learning rates of a run of `steps`, by the names to log."""
        ...


@runtime_checkable
class SupportsFreezing(Protocol):
    """An optimizer that can freeze parameters."""

    def is_frozen(self, path: str) -> bool:
        """Return whether a parameter is frozen."""
        ...


def rate_at(schedule: optax.Schedule, step: int) -> float:
    """Return the learning rate of a step; the first is step 0."""
    return np.asarray(schedule(step)).item()


def joint_learning_rates(
    optimizers: Mapping[str, Optimizer], steps: int
) -> dict[str, optax.Schedule]:
    """Return the rates of several optimizers, as "generator/learning_rate"."""
    return {
        f"{name}/{rate}": schedule
        for name, optimizer in optimizers.items()
        for rate, schedule in optimizer.learning_rates(steps).items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam:
    """AdamW with gradient clipping and a linear warm-up.

    If `muon_learning_rate` is positive, Muon updates the kernels instead.
    """

    learning_rate: float = 1e-3
    """Learning rate at the end of the warm-up."""
    warmup_steps: int = 50
    """Steps over which the learning rate grows from zero."""
    beta1: float = 0.9
    """Decay of the first moment, the mean of the gradients."""
    beta2: float = 0.99
    """Decay of the second moment, the mean of the squared gradients."""
    weight_decay: float = 0.0
    """Decoupled weight decay of every parameter with more than one axis."""
    clip_norm: float = 1.0
    """Largest global norm of the gradients; larger ones are scaled down."""
    decay: Literal["cosine", "polynomial", "none"] = "cosine"
    """Learning rate after the warm-up: decay to zero by a cosine or by a polynomial,
    (1 - step / steps) ** `power`; or constant."""
    power: float = 1.0
    """Exponent of the polynomial decay; 1 is linear."""
    muon_learning_rate: float = 0.0
    """Learning rate of Muon (Jordan et al. 2024), which updates the kernels by their
    orthogonalised momentum, with the same warm-up and decay; Adam with Nesterov
    momentum updates the other parameters. Muon's momentum decays by 0.95, optax's
    default; `beta1` and `beta2` apply to Adam alone. `rate_factors` and `weight_decays`
    apply to Muon too. With 0, Adam updates all parameters."""
    frozen: tuple[str, ...] = ()
    """Regular expressions, searched for in the parameters' paths, such as
    "backbone/stem/conv/kernel": parameters that match are frozen."""
    rate_factors: tuple[tuple[str, float], ...] = ()
    """Regular expressions for parameters' paths, each with a factor of the learning
    rate; the first match counts."""
    weight_decays: tuple[tuple[str, float], ...] = ()
    """Regular expressions for parameters' paths, each with a weight decay in place of
    `weight_decay`; the first match counts."""

    def __post_init__(self) -> None:
        _check_rate(self.learning_rate)
        check_positive("clip_norm", self.clip_norm)
        check_not_negative("warmup_steps", self.warmup_steps)
        check_not_negative("weight_decay", self.weight_decay)
        holds = 0 <= self.muon_learning_rate < math.inf
        rule = "be finite and not negative"
        check("muon_learning_rate", self.muon_learning_rate, rule, holds=holds)
        check_below_1("beta1", self.beta1)
        check_below_1("beta2", self.beta2)
        check_choices(self)
        check_positive("power", self.power)
        _groups(self)

    def schedule(self, steps: int) -> optax.Schedule:
        """Return the learning rate of each step of a run of `steps`."""
        return self._schedule(self.learning_rate, steps)

    def _schedule(self, rate: float, steps: int) -> optax.Schedule:
        warmup = min(self.warmup_steps, steps - 1)
        grow = optax.linear_schedule(0.0, rate, max(1, warmup))
        if self.decay == "none":
            stay = optax.constant_schedule(rate)
            return optax.join_schedules([grow, stay], [warmup])
        if self.decay == "polynomial":
            fall = optax.polynomial_schedule(rate, 0.0, self.power, steps - warmup)
            return optax.join_schedules([grow, fall], [warmup])
        return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, steps)

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps`."""

        def adam(factor: float, weight_decay: float) -> optax.GradientTransformation:
            return optax.adamw(
                scaled(self.schedule(steps), factor),
                b1=self.beta1,
                b2=self.beta2,
                weight_decay=weight_decay,
                mask=_are_kernels,
            )

        def muon(factor: float, weight_decay: float) -> optax.GradientTransformation:
            rate = self._schedule(self.muon_learning_rate, steps)
            return optax.contrib.muon(
                scaled(rate, factor),
                weight_decay=weight_decay,
                adam_learning_rate=scaled(self.schedule(steps), factor),
                adam_b1=self.beta1,
                adam_b2=self.beta2,
                muon_weight_dimension_numbers=_kernels_as_matrices,
            )

        return _groups(self).transformation(
            muon if self.muon_learning_rate else adam,
            weight_decay=self.weight_decay,
            first=optax.clip_by_global_norm(self.clip_norm),
        )

    def learning_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Return the learning rate, and that of each pattern with a factor, by name.

        Muon's rate is "muon_learning_rate"; those of the patterns are Adam's.
        """
        rates = _groups(self).learning_rates(self.schedule(steps))
        if self.muon_learning_rate:
            rates["muon_learning_rate"] = self._schedule(self.muon_learning_rate, steps)
        return rates

    def is_frozen(self, path: str) -> bool:
        """Return whether a parameter is frozen."""
        return _groups(self).is_frozen(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD:
    """SGD with momentum; by default as Goyal et al. (arXiv:1706.02677) train ImageNet.

    The learning rate grows linearly during the warm-up, then decays in steps, by a
    cosine or by a polynomial. Weight decay is added to the gradients.
    """

    learning_rate: float = 0.1
    """Learning rate after the warm-up; the paper's rule is 0.1 for each 256 examples
    of a batch."""
    momentum: float = 0.9
    """Decay of the momentum, the sum of the gradients."""
    nesterov: bool = True
    """Whether the momentum is Nesterov's."""
    weight_decay: float = 1e-4
    """Weight decay of the parameters that `decayed` names."""
    decayed: Literal["kernels", "all"] = "kernels"
    """Parameters with weight decay: kernels, which have more than one axis; or all,
    scales and biases too."""
    warmup: float = 5 / 90
    """Fraction of the run over which the learning rate grows."""
    warmup_steps: int | None = None
    """Steps over which the learning rate grows, at most until the first of
    `milestones`. None: the fraction `warmup`."""
    warmup_start: float = 0.1
    """Learning rate of the first step, as a fraction of `learning_rate`."""
    decay: Literal["steps", "cosine", "polynomial"] = "steps"
    """Decay of the learning rate: to a tenth at each of `milestones`, or to zero by a
    cosine or by a polynomial, (1 - step / steps) ** `power`."""
    power: float = 0.9
    """Exponent of the polynomial decay."""
    milestones: tuple[float, ...] = (30 / 90, 60 / 90, 80 / 90)
    """Points at which the learning rate decays, as fractions of the run."""
    frozen: tuple[str, ...] = ()
    """Regular expressions, searched for in the parameters' paths, such as
    "backbone/stem/conv/kernel": parameters that match are frozen."""
    rate_factors: tuple[tuple[str, float], ...] = ()
    """Regular expressions for parameters' paths, each with a factor of the learning
    rate; the first match counts."""
    weight_decays: tuple[tuple[str, float], ...] = ()
    """Regular expressions for parameters' paths, each with a weight decay in place of
    `weight_decay`; the first match counts."""

    def __post_init__(self) -> None:
        _check_rate(self.learning_rate)
        check_not_negative("weight_decay", self.weight_decay)
        check_below_1("momentum", self.momentum)
        check_below_1("warmup", self.warmup)
        if self.warmup_steps is not None:
            check_not_negative("warmup_steps", self.warmup_steps)
        holds = 0 < self.warmup_start <= 1
        check("warmup_start", self.warmup_start, "lie in (0, 1]", holds=holds)
        check_choices(self)
        check_positive("power", self.power)
        begin = self.warmup if self.warmup_steps is None else 0
        inside = sorted(x for x in self.milestones if begin < x <= 1)
        rule = "rise, from after the warm-up to 1"
        holds = list(self.milestones) == inside
        check("milestones", self.milestones, rule, holds=holds)
        _groups(self)

    def schedule(self, steps: int) -> optax.Schedule:
        """Return the learning rate of each step of a run of `steps`."""
        warmup, rate = self._warmup(steps), self.learning_rate
        if self.decay == "cosine":
            after = optax.cosine_decay_schedule(rate, max(1, steps - warmup))
        elif self.decay == "polynomial":
            rest = max(1, steps - warmup)
            after = optax.polynomial_schedule(rate, 0.0, self.power, rest)
        else:
            drops = {round(x * steps) - warmup: 0.1 for x in self.milestones}
            after = optax.piecewise_constant_schedule(rate, drops)
        grow = optax.linear_schedule(rate * self.warmup_start, rate, max(1, warmup))
        return optax.join_schedules([grow, after], [warmup])

    def _warmup(self, steps: int) -> int:
        """Return the steps of the warm-up in a run of `steps`."""
        if self.warmup_steps is None:
            return round(self.warmup * steps)
        drops = self.milestones if self.decay == "steps" else ()
        return min(self.warmup_steps, round(min(drops, default=1) * steps), steps - 1)

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps`."""
        mask = _are_kernels if self.decayed == "kernels" else None

        def sgd(factor: float, weight_decay: float) -> optax.GradientTransformation:
            rate = scaled(self.schedule(steps), factor)
            return optax.chain(
                optax.add_decayed_weights(weight_decay, mask=mask),
                optax.sgd(rate, momentum=self.momentum, nesterov=self.nesterov),
            )

        return _groups(self).transformation(sgd, weight_decay=self.weight_decay)

    def learning_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Return the learning rate, and that of each pattern with a factor, by name."""
        return _groups(self).learning_rates(self.schedule(steps))

    def is_frozen(self, path: str) -> bool:
        """Return whether a parameter is frozen."""
        return _groups(self).is_frozen(path)


def _check_rate(learning_rate: float) -> None:
    holds = 0 < learning_rate < math.inf
    check("learning_rate", learning_rate, "be positive and finite", holds=holds)


def _groups(optimizer: Adam | SGD) -> ParameterGroups:
    return ParameterGroups(
        frozen=optimizer.frozen,
        rate_factors=optimizer.rate_factors,
        weight_decays=optimizer.weight_decays,
    )


def _are_kernels(params: Any) -> Any:
    return jax.tree.map(lambda x: x.ndim > 1, params)


def _kernels_as_matrices(params: Any) -> Any:
    """Return for each kernel the axes that Muon flattens into rows and columns.

    Rows are all axes but the last, columns the last. None for parameters of fewer than
    two axes.
    """

    def axes(x: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        if x.ndim < 2:
            return None
        return optax.contrib.MuonDimensionNumbers(
            reduction_axis=tuple(range(x.ndim - 1)), output_axis=x.ndim - 1
        )

    return jax.tree.map(axes, params)
