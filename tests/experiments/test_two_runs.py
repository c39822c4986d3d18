"""Two runs that are drawn side by side, and the photographs."""

import pathlib
from typing import Any

import pytest
from rich.console import Console

from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import RefusedError
from experiments.two_runs import TwoRuns, read_photographs


def test_plain_network_is_left_of_that_with_carafe():
    paths: Any = {name: pathlib.Path(name) for name in ("carafe", "plain", "output")}
    runs = TwoRuns(**paths, which="last")

    def load(run, *, which, argument):
        return run.name, which, argument

    loaded = runs.load(load, Console(quiet=True))
    assert loaded == (("plain", "last", "plain"), ("carafe", "last", "carafe"))


def read(index):
    if index == 3:
        raise UnreadableImageError("cannot read '3.png'.")
    return 10 * index


def test_photographs_that_cannot_be_read_are_left_out():
    console = Console(record=True, width=200)
    found = read_photographs(read, [5, 3, 1], argument="source", console=console)
    assert found == {5: 50, 1: 10}
    assert "Left out: cannot read '3.png'" in console.export_text()
    with pytest.raises(RefusedError, match=r"`source` must .* be read, got 1"):
        read_photographs(read, [3], argument="source", console=console)
