"""Dataclasses of a configuration as flat dictionaries that JSON can hold, and back."""

import dataclasses
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from carafe_jax.errors import RefusedError, no_type_check

T = TypeVar("T")

_CHANGES_NO_NUMBER = "changes_no_number"
_MAY_GROW = "may_grow"


# Typed as their default, as `dataclasses.field` is.
@overload
def changes_no_number() -> Any: ...
@overload
def changes_no_number(default: T) -> T: ...
def changes_no_number(default: Any = dataclasses.MISSING) -> Any:
    """Return a dataclass field that has no effect on what is learned.

    It is not stored in `config.json`, and may differ when a run is resumed.

    Args:
      default: Value of the field; a field without one has to be given.
    """
    return dataclasses.field(default=default, metadata={_CHANGES_NO_NUMBER: True})


@no_type_check
def may_grow(default: T) -> T:
    """Return a dataclass field that may be larger when a run is resumed.

    Args:
      default: Value of the field.
    """
    field: Any = dataclasses.field(default=default, metadata={_MAY_GROW: True})
    return field


def flatten(config: Any) -> dict[str, Any]:
    """Return the values that are stored, by the path of the field: "loop.steps"."""
    return {name: _plain(value) for name, value, _ in _stored_fields(config)}


def defaults_of(config: Any) -> dict[str, Any]:
    """Return the defaults of the fields that are stored, of those that have one."""
    fields = {name: field for name, _, field in _stored_fields(config)}
    return {
        name: _plain(field.default)
        for name, field in fields.items()
        if field.default is not dataclasses.MISSING
    }


def growing_fields(config: Any) -> set[str]:
    """Return the paths of the fields of `may_grow`."""
    return {
        name
        for name, _, field in _stored_fields(config)
        if field.metadata.get(_MAY_GROW, False)
    }


def _stored_fields(
    config: Any, prefix: str = ""
) -> list[tuple[str, Any, dataclasses.Field[Any]]]:
    """Path, value and field of each value that is stored."""
    found = []
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if field.metadata.get(_CHANGES_NO_NUMBER, False):
            continue
        if dataclasses.is_dataclass(value):
            found += _stored_fields(value, f"{name}.")
        else:
            found.append((name, value, field))
    return found


def _plain(value: Any) -> Any:
    """What JSON holds of a value: of a path, say, its string."""
    if isinstance(value, (tuple, list)):
        return [_plain(x) for x in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


@no_type_check
def restore(kind: type[T], fields: Mapping[str, Any], prefix: str = "") -> T:
    """Rebuild a dataclass of a stored configuration.

    Args:
      kind: The dataclass.
      fields: Those of a `StoredConfig`.
      prefix: Path of the dataclass in the configuration, such as "data".

    Returns:
      The dataclass; fields that are not stored have their defaults.

    Raises:
      RefusedError: Nothing is stored under the prefix, or a field without a default is
        not stored.
    """
    path = f"{prefix.rstrip('.')}." if prefix else ""
    if not any(name.startswith(path) for name in fields):
        raise RefusedError(
            f"The stored configuration must have `{path[:-1]}`, got "
            f"{', '.join(sorted({name.split('.')[0] for name in fields})) or 'none'}."
        )
    hints, values, missing = typing.get_type_hints(kind), {}, []
    for field in dataclasses.fields(typing.cast(Any, kind)):
        name = path + field.name
        nested = _dataclass_of(hints[field.name], fields, f"{name}.")
        if nested is not None:
            values[field.name] = restore(nested, fields, name)
        elif name in fields:
            values[field.name] = _converted(hints[field.name], fields[name])
        elif not _has_default(field):
            missing.append(name)
    if missing:
        raise RefusedError(
            f"The stored configuration must have `{'`, `'.join(missing)}`."
        )
    return kind(**values)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _dataclass_of(hint: Any, fields: Mapping[str, Any], path: str) -> type | None:
    """The dataclass of a type that has every field stored under a path, if any is."""
    stored = {
        name.removeprefix(path).split(".")[0]
        for name in fields
        if name.startswith(path)
    }
    for kind in _members(hint) if stored else ():
        if dataclasses.is_dataclass(kind):
            names = {field.name for field in dataclasses.fields(kind)}
            if stored <= names:
                return typing.cast(type, kind)
    return None


def _members(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _converted(hint: Any, value: Any) -> Any:
    """Make of JSON's value the one that it was written from."""
    members = _members(hint)
    if isinstance(value, list):
        tuples = [x for x in members if typing.get_origin(x) is tuple]
        inner = typing.get_args(tuples[0]) if tuples else ()
        if len(inner) != len(value) or ... in inner:
            inner = (inner[0] if inner else Any,) * len(value)
        return tuple(map(_converted, inner, value))
    if isinstance(value, str) and str not in members:
        paths = [x for x in members if isinstance(x, type) and _is_path(x)]
        return paths[0](value) if paths else value
    return value


def _is_path(kind: type) -> bool:
    return issubclass(kind, pathlib.PurePath)
