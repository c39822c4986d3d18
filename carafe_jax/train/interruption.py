"""Signals that stop a run, at its next step."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_LOGGER = logging.getLogger(__name__)
_ENDING = (signal.SIGINT, signal.SIGTERM)
_NOTICES = tuple(
    signal.Signals[name]
    for name in ("SIGHUP", "SIGUSR1")
    if name in signal.Signals.__members__
)
_REPEATED_SECONDS = 1.0
"""A signal that comes again within them is the same request: `timeout` and some
launchers send each to a process and to its group."""
GRACE_SECONDS = 5.0
"""For a batch that is waited for when a signal comes."""


class StillWaitingError(BaseException):
    """A signal came, and what the run waits for did not come in time.

    No Exception, which code that is waited for may catch to try again.
    """


class Interruption:
    """A request to stop the run, and its signal."""

    def __init__(self) -> None:
        """Start without a signal."""
        self.signal: signal.Signals | None = None
        self._has_timer = False
        self._waiting = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Raise StillWaitingError in the block if it lasts long after a signal."""
        self._waiting = True
        if self.signal is not None:
            self._start_timer()
        try:
            yield
        finally:
            self._waiting = False

    def note(self, number: signal.Signals) -> None:
        """Note a signal; the first one counts."""
        if self.signal is None:
            self.signal = number
        if self._waiting:
            self._start_timer()

    @contextlib.contextmanager
    def timer(self) -> Iterator[None]:
        """Let the block use the process's timer, unless someone else does."""
        alarm = getattr(signal, "SIGALRM", None)
        if alarm is None or signal.getsignal(alarm) is not signal.SIG_DFL:
            yield
            return
        signal.signal(alarm, self._stop_waiting)
        self._has_timer = True
        try:
            yield
        finally:
            self.stop_timer()
            signal.signal(alarm, signal.SIG_DFL)

    def stop_timer(self) -> None:
        """End a timer that runs."""
        if self._has_timer:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _start_timer(self) -> None:
        if self._has_timer:
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _stop_waiting(self, number: int, frame: FrameType | None) -> None:
        if self._waiting:
            raise StillWaitingError


@contextlib.contextmanager
def noted_interruption() -> Iterator[Interruption]:
    """Note signals that ask the run to stop, instead of exiting at once.

    SIGINT (Ctrl-C) and SIGTERM, which ends jobs. A second one has the effect that it
    had before. SIGHUP (a closed terminal) and SIGUSR1 (Slurm's notice, by `--signal`)
    are noted where they would end the process; where they are ignored, as under
    `nohup`, or handled by someone else, they stay so.

    Off the main thread, which alone can handle signals, nothing is noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    notices = [x for x in _NOTICES if signal.getsignal(x) is signal.SIG_DFL]
    before = {number: signal.getsignal(number) for number in (*_ENDING, *notices)}
    first: float | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        received, now = signal.Signals(number), time.monotonic()
        if received in _ENDING and first is not None:
            if now - first > _REPEATED_SECONDS:
                restore()
                signal.raise_signal(received)
            return
        if received in _ENDING:
            first = now
        if interruption.signal is None:
            _LOGGER.warning(
                "%s received: saving after this step. %s to exit at once.",
                received.name,
                "Send it again" if received in _ENDING else "Send SIGTERM twice",
            )
        interruption.note(received)

    def restore() -> None:
        interruption.stop_timer()
        _set(before)

    _set(dict.fromkeys(before, note))
    try:
        with interruption.timer():
            yield interruption
    finally:
        restore()


def _set(handlers: dict) -> None:
    for number, handler in handlers.items():
        # None: a handler that is not Python's, which Python cannot put back.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
