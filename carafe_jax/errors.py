"""Errors that users can fix, and a decorator that disables run-time type checks."""

from typing import TypeVar

T = TypeVar("T")


class RefusedError(ValueError):
    """An argument, a file or a field breaks a rule.

    The message names it, states the rule and shows the value. The command line prints
    this error as one line, without a traceback.
    """


class MissingExtraError(ImportError):
    """A required package, which one of the project's extras installs, is missing.

    The message contains the command that installs it.
    """


def no_type_check(marked: T) -> T:
    """Disable run-time type checks of a function or class that checks its arguments.

    A wrong argument then raises our own error, which is clearer. The static type is
    kept; `typing.no_type_check` erases it. Frozen dataclasses keep their type hints,
    from which command lines and stored configurations are parsed: for them, jaxtyping
    alone is disabled.

    Args:
      marked: Function, or class with its methods. jaxtyping's import hook recognises
        the decorator by its name; checkers that inspect the object read the attribute.

    Returns:
      The same function or class.
    """
    if getattr(getattr(marked, "__dataclass_params__", None), "frozen", False):
        return marked
    # The attribute that `typing.no_type_check` sets; `typing.get_type_hints` returns
    # nothing for a class that has it.
    setattr(marked, "__no_type_check__", True)  # noqa: B010
    return marked
