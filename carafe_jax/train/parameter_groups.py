"""Groups of parameters with their own learning rate or weight decay, or frozen."""

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterable, Mapping

import optax
from jaxtyping import PyTree

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError
from carafe_jax.train.paths import flatten_with_paths, map_with_paths

_TRAINED, _FROZEN = "trained", "frozen"


def partition_parameters(
    transformations: Mapping[str, optax.GradientTransformation],
    group_of: Callable[[str], str],
) -> optax.GradientTransformation:
    """Return a transformation composed of one for each group of parameters.

    Args:
      transformations: Transformations by the names of the groups.
      group_of: Returns the group of a parameter by its path, such as
        "backbone/stem/conv/kernel".
    """

    def groups(params: PyTree) -> PyTree:
        return map_with_paths(lambda path, _: group_of(path), params)

    by_group: dict[Hashable, optax.GradientTransformation] = {**transformations}
    return optax.partition(by_group, groups)


def freeze_parameters(
    transformation: optax.GradientTransformation, is_frozen: Callable[[str], bool]
) -> optax.GradientTransformation:
    """Return a transformation that does not update frozen parameters.

    Their gradients do not reach the transformation of the others: they do not count in
    a norm by which it clips.

    Args:
      transformation: Transformation of the parameters that are trained.
      is_frozen: Returns whether a parameter is frozen, by its path.
    """
    return partition_parameters(
        {_TRAINED: transformation, _FROZEN: optax.set_to_zero()},
        lambda path: _FROZEN if is_frozen(path) else _TRAINED,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParameterGroups:
    """Groups of parameters, selected by patterns of their paths.

    A pattern is a regular expression that is searched for in the path. In each field,
    the first pattern that matches counts.
    """

    frozen: tuple[str, ...] = ()
    """Patterns of frozen parameters."""
    rate_factors: tuple[tuple[str, float], ...] = ()
    """Patterns, each with a factor of the learning rate."""
    weight_decays: tuple[tuple[str, float], ...] = ()
    """Patterns, each with a weight decay."""

    def __post_init__(self) -> None:
        for name, patterns in self._patterns().items():
            for pattern in patterns:
                rule = "hold no empty pattern, which matches every parameter"
                check(name, tuple(patterns), rule, holds=bool(pattern))
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise RefusedError(
                        f"`{name}` must hold regular expressions, got {pattern!r}: "
                        f"{error}."
                    ) from error
        for name in ("rate_factors", "weight_decays"):
            for pattern, value in getattr(self, name):
                rule = "hold numbers that are not negative"
                check(name, (pattern, value), rule, holds=value >= 0)

    def is_frozen(self, path: str) -> bool:
        """Return whether a parameter is frozen."""
        return any(re.search(pattern, path) for pattern in self.frozen)

    def transformation(
        self,
        make: Callable[[float, float], optax.GradientTransformation],
        *,
        weight_decay: float,
        first: optax.GradientTransformation | None = None,
    ) -> optax.GradientTransformation:
        """Return the transformation of all parameters.

        Without any pattern, its state is that of `first`, followed by that of the
        transformation from `make`.

        Args:
          make: Makes the transformation of a group from its factor of the learning rate
            and its weight decay.
          weight_decay: Weight decay of the parameters that no pattern of
            `weight_decays` matches.
          first: Transformation that is applied first, to all trained parameters.
        """

        def after_first(rest: optax.GradientTransformation):
            return rest if first is None else optax.chain(first, rest)

        if self == ParameterGroups():
            return after_first(make(1.0, weight_decay))

        factors = [1.0, *(factor for _, factor in self.rate_factors)]
        decays = [weight_decay, *(decay for _, decay in self.weight_decays)]
        groups = {
            _label(factor, decay): make(factor, decay)
            for factor in factors
            for decay in decays
        }

        def group_of(path: str) -> str:
            factor = _value(self.rate_factors, path, default=1.0)
            return _label(
                factor, _value(self.weight_decays, path, default=weight_decay)
            )

        trained = after_first(partition_parameters(groups, group_of))
        every = freeze_parameters(trained, self.is_frozen)

        def init(params: optax.Params) -> optax.OptState:
            self._check(list(flatten_with_paths(params)))
            return every.init(params)

        return optax.GradientTransformation(init, every.update)

    def learning_rates(self, schedule: optax.Schedule) -> dict[str, optax.Schedule]:
        """Return the schedule, and that of each pattern with a factor, by name."""
        rates = {"learning_rate": schedule}
        for pattern, factor in self.rate_factors:
            words = re.sub(r"\W+", "_", pattern).strip("_") or "group"
            name, number = f"learning_rate_{words}", 2
            while name in rates:
                name, number = f"learning_rate_{words}_{number}", number + 1
            rates[name] = scaled(schedule, factor)
        return rates

    def _check(self, paths: list[str]) -> None:
        for name, patterns in self._patterns().items():
            for pattern in patterns:
                if not any(re.search(pattern, path) for path in paths):
                    raise RefusedError(
                        f"Every pattern of `{name}` must match a parameter, got "
                        f"{pattern!r}, which matches none of the {len(paths)}: "
                        f"{', '.join(paths[:3])} and so on."
                    )

        if all(map(self.is_frozen, paths)):
            raise RefusedError(
                f"`frozen` must leave a parameter to train, got {self.frozen}, which "
                f"match all of the {len(paths)}."
            )

    def _patterns(self) -> dict[str, list[str]]:
        return {
            "frozen": list(self.frozen),
            "rate_factors": [pattern for pattern, _ in self.rate_factors],
            "weight_decays": [pattern for pattern, _ in self.weight_decays],
        }


def scaled(schedule: optax.Schedule, factor: float) -> optax.Schedule:
    """Return a schedule times a factor; the schedule itself where the factor is one."""
    return schedule if factor == 1 else lambda step: factor * schedule(step)


def _value(
    patterns: Iterable[tuple[str, float]], path: str, *, default: float
) -> float:
    matching = (value for pattern, value in patterns if re.search(pattern, path))
    return next(matching, default)


def _label(factor: float, decay: float) -> str:
    return f"rate {float(factor)}, decay {float(decay)}"
