"""Progress bars of the photographs to fill, and of the tiles of one."""

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
    """Shows the number of filled photographs, and the progress of the current one."""

    def __init__(self, console: Console, *, photographs: int) -> None:
        """Draw nothing yet; entering the context draws the bars."""
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error the bars are erased: they would show what was not done.
        self._bars.live.transient = kind is not None
        self._bars.stop()

    @contextlib.contextmanager
    def photograph(self) -> Iterator[ReportProgress]:
        """Show the bar of one photograph, and yield the callback that updates it."""
        # Without a total the bar pulses: during a classic fill, and until the first
        # tiles are filled, as the network is compiled for them.
        part = self._bars.add_task("tiles", total=None)

        def report(done: int, total: int) -> None:
            if done:
                self._bars.update(part, completed=done, total=total)

        try:
            yield report
        finally:
            self._bars.remove_task(part)
            self._bars.advance(self._photographs)
