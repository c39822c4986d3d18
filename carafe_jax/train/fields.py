"""Conversion between configuration dataclasses and flat dictionaries for JSON."""

import contextlib
import dataclasses
import pathlib
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar, overload

import numpy as np

from carafe_jax.arguments import in_group
from carafe_jax.errors import RefusedError, no_type_check

T = TypeVar("T")

_UNSTORED = "unstored_field"
_GROWABLE = "growable_field"


# Typed as their default, as `dataclasses.field` is.
@overload
def unstored_field() -> Any: ...
@overload
def unstored_field(default: T) -> T: ...
def unstored_field(default: Any = dataclasses.MISSING) -> Any:
    """Return a dataclass field that does not affect the results of a run.

    It is not stored in `config.json`, and may differ when the run is resumed.

    Args:
      default: Default of the field; without one, the field is required.
    """
    return dataclasses.field(default=default, metadata={_UNSTORED: True})


@no_type_check
def growable_field(default: T) -> T:
    """Return a dataclass field that may grow when a run is resumed.

    It may also shrink, but training raises if the run has already passed the new value.

    Args:
      default: Default of the field.
    """
    field: Any = dataclasses.field(default=default, metadata={_GROWABLE: True})
    return field


def flatten(config: Any) -> dict[str, Any]:
    """Return the stored values by the path of their field, such as "loop.steps"."""
    return {name: _plain(value) for name, value, _ in _leaves(config)}


def defaults_of(config: Any) -> dict[str, Any]:
    """Return the defaults of the stored fields that have one."""
    return {
        name: _plain(field.default)
        for name, _, field in _leaves(config)
        if field.default is not dataclasses.MISSING
    }


def growable_fields(config: Any) -> set[str]:
    """Return the paths of the fields made by `growable_field`."""
    return {
        name
        for name, _, field in _leaves(config)
        if field.metadata.get(_GROWABLE, False)
    }


def unstored_fields(config: Any) -> set[str]:
    """Return the paths of the fields made by `unstored_field`."""
    return {name for name, _, _ in _leaves(config, stored=False)}


def _leaves(
    config: Any, prefix: str = "", *, stored: bool = True
) -> list[tuple[str, Any, dataclasses.Field[Any]]]:
    """Return path, value and field of each value that is stored, or is not stored."""
    found = []
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if field.metadata.get(_UNSTORED, False):
            # A nested dataclass is unstored as a whole.
            parts = [] if stored else _parts(name, value, field)
        elif dataclasses.is_dataclass(value):
            parts = _leaves(value, f"{name}.", stored=stored)
        else:
            parts = [(name, value, field)] if stored else []
        found += parts
    return found


def _parts(
    name: str, value: Any, field: dataclasses.Field[Any]
) -> list[tuple[str, Any, dataclasses.Field[Any]]]:
    if not dataclasses.is_dataclass(value):
        return [(name, value, field)]
    return [
        part
        for inner in dataclasses.fields(value)
        for part in _parts(f"{name}.{inner.name}", getattr(value, inner.name), inner)
    ]


def _plain(value: Any) -> Any:
    """Return a value for JSON; a path, for example, as its string."""
    if isinstance(value, (np.ndarray, np.integer, np.floating, np.bool_)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(x) for x in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


@no_type_check
def restore(kind: type[T], fields: Mapping[str, Any], prefix: str = "") -> T:
    """Return a dataclass rebuilt from a stored configuration.

    Args:
      kind: The dataclass. Its fields may be dataclasses, but not unions of them.
      fields: Fields of a `StoredConfig`.
      prefix: Path of the dataclass in the configuration, such as "data".

    Returns:
      The dataclass; fields that are not stored have their defaults.

    Raises:
      RefusedError: Nothing is stored under the prefix; a field without a default is
        not stored; a value does not have the type of its field, or breaks its rule; or
        the dataclass lacks a field that is stored under the prefix.
    """
    path = f"{prefix.rstrip('.')}." if prefix else ""
    own = [name for name in fields if name.startswith(path)]
    if not own:
        raise RefusedError(
            f"The stored configuration must have `{path[:-1]}`, got "
            f"{', '.join(sorted({name.split('.')[0] for name in fields})) or 'none'}."
        )
    hints, values, missing = typing.get_type_hints(kind), {}, []
    known: set[str] = set()
    for field in dataclasses.fields(typing.cast(Any, kind)):
        name, hint = path + field.name, hints[field.name]
        inner = [x for x in own if x.startswith(f"{name}.")]
        nested = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        if nested and inner:
            values[field.name] = restore(hint, fields, name)
            known.update(inner)
        elif name in fields and not nested:
            values[field.name] = _converted(hint, fields[name], name)
            known.add(name)
        elif not _has_default(field):
            missing.append(name)
    check_known(sorted({*own} - known))
    if missing:
        raise RefusedError(
            f"The stored configuration must have `{'`, `'.join(missing)}`."
        )
    try:
        return kind(**values)
    except RefusedError as error:
        raise RefusedError(
            in_group(str(error), path[:-1], typing.cast(Any, kind))
        ) from error


def check_known(unknown: Collection[str]) -> None:
    """Raise if there are stored fields that the current configuration lacks.

    Args:
      unknown: Paths of these fields.

    Raises:
      RefusedError: There is at least one.
    """
    if unknown:
        raise RefusedError(
            f"The stored configuration has `{'`, `'.join(unknown)}`, which this "
            "version does not know."
        )


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _members(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _converted(hint: Any, value: Any, name: str) -> Any:
    """Return a value of JSON converted to the type of its field.

    Raises:
      RefusedError: The value does not have that type.
    """
    for member in _members(hint):
        with contextlib.suppress(_OtherTypeError):
            return _as_member(member, value)
    plain = isinstance(hint, type) and not typing.get_origin(hint)
    shown = hint.__name__ if plain else re.sub(r"\b(typing|pathlib)\.", "", str(hint))
    raise RefusedError(
        f"The stored configuration must have `{name}` as {shown}, got {value!r}."
    )


class _OtherTypeError(TypeError):
    """A value does not have the type."""


def _as_member(hint: Any, value: Any) -> Any:
    """Return a value of JSON converted to one type of a union."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for member in arguments:
            with contextlib.suppress(_OtherTypeError):
                return _as_member(member, value)
        raise _OtherTypeError
    if origin is tuple:
        if not isinstance(value, list):
            raise _OtherTypeError
        inner = arguments
        if len(inner) == 2 and inner[1] is ...:
            inner = (inner[0],) * len(value)
        if len(inner) != len(value):
            raise _OtherTypeError
        return tuple(map(_as_member, inner, value))
    kinds: dict[Any, tuple[type, ...]] = {
        int: (int,),
        float: (int, float),
        str: (str,),
        bool: (bool,),
        types.NoneType: (types.NoneType,),
    }
    if hint in kinds:
        holds = type(value) in kinds[hint]
    elif origin is Literal:
        holds = any(value == x and type(value) is type(x) for x in arguments)
    elif isinstance(hint, type) and _is_path(hint):
        holds = isinstance(value, str)
        value = hint(value) if holds else value
    else:
        # A type without a form of its own in JSON.
        return tuple(value) if isinstance(value, list) else value
    if not holds:
        raise _OtherTypeError
    # Run-time type checkers reject an int for a float.
    return float(value) if hint is float else value


def _is_path(kind: type) -> bool:
    return issubclass(kind, pathlib.PurePath)
