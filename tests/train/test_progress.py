"""Progress on a console: each phase is shown before it begins."""

import dataclasses
import io
import itertools
import logging
import re
import types

import pytest
from rich.console import Console
from rich.logging import RichHandler

from carafe_jax.train import Adam, Loop, train
from tests.train.toy import CountedBatches, Regression, Scores

PHASES = (
    "opening data",
    "compiling the initializers",
    "compiling the step",
    "training",
    "evaluating: test",
)


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def no_terminal():
    return Console(file=io.StringIO(), force_terminal=False, width=120)


def shown(console: Console) -> str:
    """Return the output of a console, without its control codes."""
    assert isinstance(console.file, io.StringIO)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    # The bar is drawn from the beginning of its line again.
    return text.replace("\r", "\n")


def run(task, console, workdir, **fields):
    loop = Loop(**{"steps": 6, "log_every": 2, "evaluate_every": 3, **fields})
    return train(task, optimizer=Adam(), loop=loop, workdir=workdir, console=console)


@dataclasses.dataclass
class Watched(Regression):
    """Task that notes the phase shown when each of its methods is called."""

    console: Console = dataclasses.field(default_factory=terminal)
    seen: dict[str, str] = dataclasses.field(default_factory=dict)

    def note(self, name: str) -> None:
        phases = [phase for phase in PHASES if phase in shown(self.console)]
        self.seen.setdefault(name, phases[-1])

    def batches(self):
        self.note("batches")
        return super().batches()

    def steps_per_epoch(self):
        self.note("steps_per_epoch")
        return super().steps_per_epoch()

    def init(self, key):
        self.note("init")
        return super().init(key)

    def loss(self, variables, batch, key):
        self.note("loss")
        return super().loss(variables, batch, key)

    def evaluators(self):
        watched = self
        self.note("evaluators")

        class WatchedScores(Scores):
            def evaluate(self, state):
                watched.note("evaluate")
                return super().evaluate(state)

        return (WatchedScores(),)


@pytest.mark.parametrize("make", [terminal, no_terminal])
def test_each_phase_is_shown_before_it_begins(tmp_path, make):
    task = Watched(console=make())
    run(task, task.console, tmp_path, steps=None, epochs=2, evaluate_every=None)
    assert task.seen == {
        "batches": "opening data",
        "evaluators": "opening data",
        "steps_per_epoch": "opening data",
        "init": "compiling the initializers",
        "loss": "compiling the step",
        "evaluate": "evaluating: test",
    }


def test_bar_shows_the_steps_and_the_loss(tmp_path):
    console = terminal()
    run(Regression(), console, tmp_path)
    assert re.search(r"training .*6/6 loss \d+\.\d+, \d+ images/s", shown(console))


def test_console_that_is_no_terminal_has_a_line_for_each_phase(tmp_path):
    console = no_terminal()
    run(Regression(), console, tmp_path)
    lines = shown(console).splitlines()
    assert lines[:4] == [*PHASES[:4]]
    assert re.fullmatch(
        r"evaluating: test \(step 3 of 6, loss \S+, \d+ images/s\)", lines[4]
    )
    assert len(lines) == 6


def test_console_that_is_no_terminal_has_a_line_every_half_minute(
    tmp_path, monkeypatch
):
    # The clock is read once when training begins, and once per report.
    clock = types.SimpleNamespace(perf_counter=itertools.count(step=10).__next__)
    monkeypatch.setattr("carafe_jax.train.progress.time", clock)
    console = no_terminal()
    fields = {"steps": 10, "log_every": 1, "evaluate_every": 10}
    run(Regression(), console, tmp_path, **fields)
    lines = [x for x in shown(console).splitlines() if x.startswith("step")]
    numbers = r"loss \d+\.\d+, \d+ images/s"
    assert len(lines) == 3
    for line, step, left in zip(
        lines, (3, 6, 9), ("1:10", "0:40", "0:10"), strict=True
    ):
        assert re.fullmatch(rf"step {step} of 10, {numbers}, 0:0{left} left", line)


def test_resumed_run_shows_no_initializers(tmp_path):
    run(Regression(), None, tmp_path, steps=3)
    console = no_terminal()
    run(Regression(), console, tmp_path)
    assert "restoring the checkpoint" in shown(console)
    assert "initializers" not in shown(console)


def test_console_that_is_quiet_stays_empty(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, quiet=True)
    run(Regression(), console, tmp_path)
    assert shown(console) == ""


def test_log_lines_are_printed_above_the_bar(tmp_path):
    console = terminal()
    logger = logging.getLogger("tests.train.toy")
    handler = RichHandler(console=console, show_path=False, show_time=False)

    class Talking(Regression):
        def batches(self):
            class TalkingBatches(CountedBatches):
                def __next__(self):
                    logger.warning("a line of the data")
                    return super().__next__()

            return TalkingBatches(self.size)

    logger.addHandler(handler)
    try:
        run(Talking(), console, tmp_path)
    finally:
        logger.removeHandler(handler)
    lines = [x for x in shown(console).splitlines() if "a line of the data" in x]
    assert [re.split(r"\s{2,}", x.strip()) for x in lines] == [
        ["WARNING", "a line of the data"]
    ] * 6
