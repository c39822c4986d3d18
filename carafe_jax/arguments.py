"""Checks of arguments, which name the argument, state the rule and show the value."""

import dataclasses
import math
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from carafe_jax.errors import RefusedError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A run-time type checker takes no integer for a float.
Number = int | float


def check(name: str, value: object, rule: str, *, holds: bool) -> None:
    """Refuse a value that breaks a rule.

    Args:
        name: Name of the argument.
        value: Its value, shown in the error.
        rule: What must hold, to be read after "must".
        holds: Whether it does.

    Raises:
        RefusedError: If it does not.
    """
    if not holds:
        raise RefusedError(f"`{name}` must {rule}, got {value!r}.")


def check_positive(name: str, value: Number) -> None:
    """Refuse zero and numbers below it."""
    check(name, value, "be positive", holds=value > 0)


def check_count(name: str, value: Number) -> None:
    """Refuse numbers below one."""
    check(name, value, "be positive", holds=value >= 1)


def check_not_negative(name: str, value: Number) -> None:
    """Refuse numbers below zero."""
    check(name, value, "not be negative", holds=value >= 0)


def check_between_0_and_1(name: str, value: Number) -> None:
    """Refuse numbers that are not inside the interval, without its ends."""
    check(name, value, "lie between 0 and 1", holds=0 < value < 1)


def check_below_1(name: str, value: Number) -> None:
    """Refuse numbers that are not in [0, 1), such as decays."""
    check(name, value, "lie in [0, 1)", holds=0 <= value < 1)


def check_seed(name: str, value: int) -> None:
    """Refuse numbers that no generator takes as a seed."""
    check(name, value, "lie in [0, 2**32)", holds=0 <= value < 2**32)


def check_fractions(name: str, ends: tuple[Number, Number]) -> None:
    """Refuse what is no range of fractions above 0, up to 1."""
    rule = "be two numbers 0 < low <= high <= 1"
    check(name, ends, rule, holds=0 < ends[0] <= ends[1] <= 1)


def check_range(name: str, ends: tuple[Number, Number]) -> None:
    """Refuse what is no range of finite numbers from 0 on."""
    rule = "be two finite numbers 0 <= low <= high"
    check(name, ends, rule, holds=0 <= ends[0] <= ends[1] < math.inf)


def check_choices(config: "DataclassInstance") -> None:
    """Refuse fields of a type `Literal` that hold none of its values."""
    for field in dataclasses.fields(config):
        if get_origin(field.type) is Literal:
            value, choices = getattr(config, field.name), get_args(field.type)
            rule = f"be one of {', '.join(map(repr, choices))}"
            check(field.name, value, rule, holds=value in choices)
