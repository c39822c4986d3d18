"""Argument checks whose errors name the argument, the rule and the value."""

import contextlib
import dataclasses
import math
import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import numpy as np

from carafe_jax.errors import RefusedError, no_type_check

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Run-time type checkers do not accept an int for `float`.
Number = int | float


def check(name: str, value: object, rule: str, *, holds: bool) -> None:
    """Raise unless a value follows its rule.

    Args:
        name: Name of the argument.
        value: Its value, shown in the error.
        rule: Rule that must hold, to be read after "must" in the error.
        holds: Whether the value follows the rule.

    Raises:
        RefusedError: `holds` is False.
    """
    if not holds:
        raise RefusedError(f"`{name}` must {rule}, got {value!r}.")


def check_positive(name: str, value: object) -> None:
    """Raise unless the number is above 0."""
    check(name, value, "be positive", holds=_number(value) > 0)


def check_finite(name: str, value: object) -> None:
    """Raise unless the number is finite."""
    check(name, value, "be finite", holds=math.isfinite(_number(value)))


def check_count(name: str, value: object) -> None:
    """Raise unless the value is an integer of at least 1, as `is_count` defines it."""
    check(name, value, "be an integer", holds=_is_any_integer(value))
    check_integer_types(name, value, [value])
    check(name, value, "be positive", holds=is_count(value))


def check_integer_types(name: str, value: object, numbers: Sequence[Any]) -> None:
    """Raise if an integer is of a type whose sums and products overflow.

    Args:
        name: Name of the argument.
        value: Its value.
        numbers: Numbers in it; those that are no integers are not checked.

    Raises:
        RefusedError: An integer is neither an int nor of np.int32 or np.int64.
    """
    holds = all(_is_integer(x) for x in numbers if _is_any_integer(x))
    rule = "use int, np.int32 or np.int64 for integers, as other types overflow"
    check(name, value, rule, holds=holds)


def check_ints(name: str, values: object, *, length: int | None = None) -> None:
    """Raise unless the value is a sequence of positive ints.

    Args:
        name: Name of the argument.
        values: Its value.
        length: Number of ints. None: one or more.

    Raises:
        RefusedError: It is another value.
    """
    rule = f"be {'one or more' if length is None else length} positive ints"
    found = _elements(values)
    check_integer_types(name, values, found)
    holds = len(found) > 0 if length is None else len(found) == length
    check(name, values, rule, holds=holds and all(map(is_count, found)))


def check_label_values(name: str, values: object) -> None:
    """Raise unless the value is a collection of ints in [0, 255], labels of 8 bits."""
    found: Any = values if isinstance(values, Collection) else (None,)
    texts = isinstance(values, str | bytes)
    holds = not texts and all(_is_any_integer(x) and 0 <= x <= 255 for x in found)
    check(name, values, "be ints in [0, 255]", holds=holds)


def check_window(name: str, value: object) -> None:
    """Raise unless the value is two positive odd ints, sides of a centred window."""
    sides = _elements(value)
    check_integer_types(name, value, sides)
    holds = len(sides) == 2 and all(is_count(side) and side % 2 for side in sides)
    check(name, value, "be two positive odd ints", holds=holds)


def check_multiples(name: str, values: object, divisor: int) -> None:
    """Raise unless the value is two positive multiples of a number, or None."""
    sides = _elements(values)
    check_integer_types(name, values, sides)
    holds = len(sides) == 2 and all(is_count(x) and x % divisor == 0 for x in sides)
    rule = f"be two positive multiples of {divisor} or None"
    check(name, values, rule, holds=values is None or holds)


def is_count(value: object) -> bool:
    """Return whether a value is a positive int, np.int32 or np.int64; no bool."""
    return _is_integer(value) and _number(value) > 0


def check_not_negative(name: str, value: object) -> None:
    """Raise if the number is below 0."""
    check(name, value, "not be negative", holds=_number(value) >= 0)


def check_between_0_and_1(name: str, value: object) -> None:
    """Raise unless the number is in the open interval (0, 1)."""
    check(name, value, "lie between 0 and 1", holds=0 < _number(value) < 1)


def check_below_1(name: str, value: object) -> None:
    """Raise unless the number is in [0, 1), as a decay must be."""
    check(name, value, "lie in [0, 1)", holds=0 <= _number(value) < 1)


def check_up_to_1(name: str, value: object) -> None:
    """Raise unless the number is in [0, 1], as a fraction or an IoU must be."""
    check_up_to(name, value, 1)


def check_up_to(name: str, value: object, largest: int) -> None:
    """Raise unless the number is in [0, `largest`]."""
    check(name, value, f"lie in [0, {largest}]", holds=0 <= _number(value) <= largest)


def check_seed(name: str, value: object) -> None:
    """Raise unless the number is a valid seed, in [0, 2**32)."""
    check(name, value, "lie in [0, 2**32)", holds=0 <= _number(value) < 2**32)


@no_type_check
def check_fractions(name: str, ends: tuple[Number, Number]) -> None:
    """Raise unless the two numbers satisfy 0 < low <= high <= 1."""
    low, high = _ends(ends)
    rule = "be two numbers 0 < low <= high <= 1"
    check(name, ends, rule, holds=0 < low <= high <= 1)


@no_type_check
def check_range(name: str, ends: tuple[Number, Number]) -> None:
    """Raise unless the two numbers are finite and 0 <= low <= high."""
    low, high = _ends(ends)
    rule = "be two finite numbers 0 <= low <= high"
    check(name, ends, rule, holds=0 <= low <= high < math.inf)


def check_positive_finite(name: str, value: object) -> None:
    """Raise unless the number is above 0 and finite."""
    holds = 0 < _number(value) < math.inf
    check(name, value, "be positive and finite", holds=holds)


@no_type_check
def check_class_names(name: str, names: Sequence[str]) -> None:
    """Raise unless these are different names, at least one, none of them blank."""
    rule = "be different names of classes, none of them blank"
    holds = isinstance(names, Sequence) and not isinstance(names, str | bytes)
    holds = holds and all(isinstance(each, str) and each.strip() for each in names)
    check(name, names, rule, holds=holds and 0 < len(names) == len({*names}))


@no_type_check
def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise unless the value is one of the choices, which `get_args` of a type has."""
    rule = f"be one of {', '.join(map(repr, choices))}"
    check(name, value, rule, holds=value in choices)


def check_choices(config: "DataclassInstance") -> None:
    """Raise unless each `Literal` field of a config holds one of its values."""
    for field in dataclasses.fields(config):
        if get_origin(field.type) is Literal:
            check_choice(field.name, getattr(config, field.name), get_args(field.type))


def in_group(message: str, group: str, kind: "type[DataclassInstance]") -> str:
    """Return the error of a dataclass with its fields named from the outermost one.

    Args:
        message: Error that names fields of the dataclass, such as "`count`".
        group: Path of the dataclass, such as "network.proposals"; may be empty.
        kind: The dataclass.

    Returns:
        The message with "`network.proposals.count`".
    """
    if not group:
        return message
    fields = "|".join(field.name for field in dataclasses.fields(kind))
    return re.sub(rf"`(?=(?:{fields})[.`])", f"`{group}.", message)


@contextlib.contextmanager
def errors_in_group(group: str, kind: "type[DataclassInstance]") -> Iterator[None]:
    """Name the fields of a dataclass from the outermost one in errors of the block.

    Args:
        group: Path of the dataclass, as for `in_group`.
        kind: The dataclass.

    Raises:
        RefusedError: The block raised one.
    """
    try:
        yield
    except RefusedError as error:
        message = in_group(str(error), group, kind)
        if message == str(error):
            raise
        raise RefusedError(message) from error


def _number(value: Any) -> float:
    """Return a number, or NaN, which follows no rule, for any other value."""
    if isinstance(value, str | bytes | bool | np.bool_):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _elements(value: Any) -> tuple[Any, ...]:
    """Return the elements of a sequence; none of any other value."""
    return tuple(value) if isinstance(value, Sequence) else ()


def _ends(value: Any) -> tuple[float, float]:
    """Return two numbers, or NaN for any other value."""
    ends = [_number(each) for each in _elements(value)]
    return (ends[0], ends[1]) if len(ends) == 2 else (math.nan, math.nan)


def _is_integer(value: object) -> bool:
    if isinstance(value, np.signedinteger):
        return value.dtype.itemsize >= 4  # Products of narrower integers overflow.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_any_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
