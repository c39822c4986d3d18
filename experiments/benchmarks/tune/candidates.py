"""Candidates of the search."""

import dataclasses
from typing import Any


def neighbours(config: Any) -> list[Any]:
    """Return the configurations with one number doubled or halved."""
    found = []
    for field in dataclasses.fields(config):
        number = getattr(config, field.name)
        if isinstance(number, int):
            found += [
                dataclasses.replace(config, **{field.name: other})
                for other in (2 * number, number // 2)
                if other
            ]
    return found
