"""Bars of photographs that are filled, and of the tiles within one."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from carafe_jax.tasks.inpainting.coarse_to_fine import ReportProgress


class FillBars:
    """Shows how many photographs are filled, and how much of the one at hand."""

    def __init__(self, console: Console, *, photographs: int) -> None:
        """Draw nothing yet; entering the context does."""
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._photographs = self._bars.add_task("photographs", total=photographs)

    def __enter__(self) -> "FillBars":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def photograph(self) -> Iterator[ReportProgress]:
        """Show the bar of one photograph; it receives the tiles that are filled."""
        # Without a total it pulses: while a classic method fills, and until the first
        # tiles are there, for which the network is compiled.
        part = self._bars.add_task("tiles", total=None)

        def report(done: int, total: int) -> None:
            if done:
                self._bars.update(part, completed=done, total=total)

        try:
            yield report
        finally:
            self._bars.remove_task(part)
            self._bars.advance(self._photographs)
