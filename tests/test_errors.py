"""Exceptions of the library, and the marker of functions that check themselves."""

import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import typing

import pytest

import carafe_jax
from carafe_jax.errors import MissingExtraError, RefusedError, no_type_check


def exceptions() -> list[type[Exception]]:
    """Return the exceptions whose only argument is a message."""
    found: set[type[Exception]] = set()
    for module in pkgutil.walk_packages(carafe_jax.__path__, "carafe_jax."):
        if module.name.endswith("__main__"):  # Importing it runs the command.
            continue
        members = vars(importlib.import_module(module.name)).values()
        found.update(
            member
            for member in members
            if inspect.isclass(member)
            and issubclass(member, Exception)
            and member.__module__ == module.name
            and "__init__" not in vars(member)
        )
    return sorted(found, key=lambda error: error.__qualname__)


def test_errors_of_the_library_are_found():
    assert {RefusedError, MissingExtraError} <= set(exceptions())


@pytest.mark.parametrize("error", exceptions(), ids=lambda error: error.__name__)
def test_exception_crosses_a_process_boundary_with_its_message(error):
    raised = error("`scale` must be positive, got 0.")
    copy = pickle.loads(pickle.dumps(raised))
    assert type(copy) is error
    assert str(copy) == str(raised)
    assert copy.args == raised.args


def test_refused_argument_is_a_value_error():
    assert issubclass(RefusedError, ValueError)


def test_marker_returns_the_function_itself():
    def function() -> None: ...

    assert no_type_check(function) is function
    assert getattr(function, "__no_type_check__")  # noqa: B009


def test_marked_settings_keep_the_type_hints_that_command_lines_are_parsed_by():
    @no_type_check
    @dataclasses.dataclass(frozen=True)
    class Settings:
        count: int

    assert typing.get_type_hints(Settings) == {"count": int}
