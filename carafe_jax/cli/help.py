"""Texts of `--help`, prepared so that tyro prints them as intended."""

import dataclasses
import typing
from typing import Any

import docstring_parser


def describe_fields(config: type[Any]) -> None:
    """Set the help of every field of a configuration to its docstring, in one line.

    Tyro would keep the line breaks of an indented docstring instead of wrapping it; it
    takes `metadata["help"]` unchanged.

    Args:
      config: Dataclass; dataclasses among its fields are included.
    """
    hints = typing.get_type_hints(config)
    texts = _texts(config)
    for field in dataclasses.fields(config):
        if field.name in texts:
            text = " ".join(texts[field.name].split())
            described: Any = field  # The stub allows no other mapping.
            described.metadata = {**field.metadata, "help": text}
        if dataclasses.is_dataclass(hints[field.name]):
            describe_fields(hints[field.name])


def keep_lines(text: str) -> str:
    """Indent every line after the first paragraph, so that tyro keeps the breaks."""
    first, _, rest = text.strip().partition("\n\n")
    return "\n".join([first, *(f"  {line}" for line in rest.splitlines() if line)])


def _texts(config: type[Any]) -> dict[str, str]:
    """Return the docstrings of the fields by name, including those of base classes."""
    texts: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if dataclasses.is_dataclass(base):
            parsed = docstring_parser.parse_from_object(base)
            texts |= {x.arg_name: x.description or "" for x in parsed.params}
    return texts
