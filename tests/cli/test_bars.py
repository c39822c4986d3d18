"""Progress bars of commands, also of those that end by an error or a signal."""

import dataclasses
import io
import sys

import pytest
from rich.console import Console

from carafe_jax.cli import console
from carafe_jax.cli.progress import tracked
from carafe_jax.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class Options:
    """No options."""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RefusedError("wrong")])
def test_bar_ends_before_the_last_line(error, monkeypatch):
    events: list[str] = []

    def bar():
        try:
            yield from range(3)
        finally:
            events.append("the bar ends")

    def command(options, shown_on) -> int:
        bars = bar()
        for _ in bars:
            raise error
        return 0

    monkeypatch.setattr(console, "_exit_immediately", sys.exit)
    monkeypatch.setattr(
        console.PipedConsole, "print", lambda *args, **_: events.append("the last line")
    )
    with pytest.raises(SystemExit):
        console.run(command, Options, doc="Test.", args=[])
    assert events == ["the bar ends", "the last line"]


@pytest.mark.parametrize("items", [[], [1, 2]])
def test_bar_is_shown_for_items_alone(items):
    shown = io.StringIO()
    to = Console(file=shown, force_terminal=True)
    with tracked(items, "counting", total=len(items), console=to) as given:
        assert [*given] == items
    assert ("counting" in shown.getvalue()) == bool(items)
