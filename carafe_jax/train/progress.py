"""Progress of a run on a console: its phases, and a bar or lines."""

import contextlib
import datetime
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_TRAINING = "training"
_SECONDS_BETWEEN_LINES = 30


class ProgressDisplay:
    """Shows the phases and the progress of a run on a console.

    On a terminal it draws a progress bar; elsewhere it prints a line for each phase,
    and one for the progress when scalars are logged, at most every 30 seconds.
    """

    def __init__(
        self, console: Console | None, bar: tuple[Progress, TaskID] | None
    ) -> None:
        """Show nothing yet; without a console, nothing at all."""
        self._console, self._bar = console, bar
        self._total = 0
        self._numbers = ""
        self._trains = False
        self._first = 0
        self._began = self._printed = 0.0

    def announce(self, phase: str) -> None:
        """Show the name of a phase, before it begins."""
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, description=phase, refresh=True)
        else:
            self._print(f"{phase} ({self._numbers})" if self._numbers else phase)

    def train(self, step: int, *, total: int) -> None:
        """Show that training continues after `step` of `total` steps."""
        begins, self._trains, self._total = not self._trains, True, total
        if begins:
            self._first = step
            self._began = self._printed = time.perf_counter()
        if begins and self._bar is not None:
            progress, task = self._bar
            progress.reset(task, total=total, completed=step, description=_TRAINING)
        elif begins or self._bar is not None:
            self.announce(_TRAINING)

    def report(self, step: int, scalars: dict[str, float]) -> None:
        """Show the scalars of the last steps."""
        if not scalars:
            return
        loss, speed = scalars["loss"], scalars["images_per_second"]
        numbers = f"loss {loss:.4f}, {speed:.0f} images/s"
        self._numbers = f"step {step} of {self._total}, {numbers}"
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=step, numbers=numbers)
            return
        now = time.perf_counter()
        if now - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = now
            seconds = (now - self._began) / (step - self._first)
            left = datetime.timedelta(seconds=round(seconds * (self._total - step)))
            self._print(f"{self._numbers}, {left} left")

    def _print(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def show_progress(console: Console | None) -> Iterator[ProgressDisplay]:
    """Show a run on a console; None shows nothing."""
    if console is None or not console.is_terminal or console.quiet:
        yield ProgressDisplay(console, None)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield ProgressDisplay(
            console, (progress, progress.add_task("", total=None, numbers=""))
        )
