"""Groups of options, each for the data or the runs of one task."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from carafe_jax.errors import RefusedError


def options_of(package: str, groups: Mapping[str, Any], *, given_for: str) -> Any:
    """Return the group of options of a task.

    Args:
      package: Package of the task.
      groups: Dataclasses of options, by the packages of their tasks.
      given_for: Description of what the options were given for, for the error.

    Raises:
      RefusedError: An option of another task is not its default.
    """
    for name, group in groups.items():
        given = [
            f"`{name}.{field.name}`"
            for field in dataclasses.fields(group)
            if name != package and getattr(group, field.name) != field.default
        ]
        if given:
            raise RefusedError(
                f"`{name}` options must be left out for another task, got "
                f"{', '.join(given)} for {given_for}."
            )
    return groups[package]
