"""Errors that a user can mend, and the marker of code that raises them itself."""

from typing import TypeVar

T = TypeVar("T")


class RefusedError(ValueError):
    """An argument, a file or a field breaks a rule.

    The message names it, states the rule and shows the value. The command line prints
    this error as one line, without a traceback.
    """


class MissingExtraError(ImportError):
    """A package of one of the project's extras is needed and not installed.

    The message holds the line that installs it.
    """


def no_type_check(marked: T) -> T:
    """Mark a function or a class that checks its own arguments.

    A run-time type checker leaves it alone, so that a wrong argument is refused in our
    words; its static type stays as it is. `typing.no_type_check` erases that type.

    Args:
      marked: A function, or a class with its methods. jaxtyping's import hook knows
        the marker by its name; checkers that look at the object find the attribute.

    Returns:
      The same function or class.
    """
    # What `typing.no_type_check` sets, too.
    setattr(marked, "__no_type_check__", True)  # noqa: B010
    return marked
