"""Signals that stop a run at its next step."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from carafe_jax.train import signal_watch

_LOGGER = logging.getLogger(__name__)
_ENDING = (signal.SIGINT, signal.SIGTERM)
_NOTICES = tuple(
    signal.Signals[name]
    for name in ("SIGHUP", "SIGUSR1")
    if name in signal.Signals.__members__
)
GRACE_SECONDS = 5.0
"""Time to wait for the next batch after a signal."""


class BatchTimeoutError(BaseException):
    """The next batch did not arrive in time after a signal.

    Not an `Exception`, which the input pipeline might catch and retry.
    """


class Interruption:
    """A request to stop the run, and its signal."""

    def __init__(self) -> None:
        """Start without a signal."""
        self.signal: signal.Signals | None = None
        self._response = "saving after this step"
        self._has_timer = False
        self._waiting = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Raise BatchTimeoutError in the block GRACE_SECONDS after a signal."""
        self._waiting = True
        if self.signal is not None:
            self._start_timer()
        try:
            yield
        finally:
            self._waiting = False

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Announce in the block that the run stops once the step is compiled."""
        before, self._response = self._response, "stopping when the step is compiled"
        try:
            yield
        finally:
            self._response = before

    def announce(self, number: signal.Signals) -> None:
        """Log the response to a signal."""
        _LOGGER.warning(
            "%s received: %s. %s to exit at once.",
            number.name,
            self._response,
            "Send it again" if number in _ENDING else "Send SIGTERM twice",
        )

    def record(self, number: signal.Signals) -> None:
        """Record a signal; the first one is kept."""
        if self.signal is None:
            self.signal = number
        if self._waiting:
            self._start_timer()

    @contextlib.contextmanager
    def timer(self) -> Iterator[None]:
        """Use the process's timer in the block, unless it is already in use."""
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
        """Stop the timer if it runs."""
        if self._has_timer:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _start_timer(self) -> None:
        if self._has_timer:
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _stop_waiting(self, number: int, frame: FrameType | None) -> None:
        if self._waiting:
            raise BatchTimeoutError


@contextlib.contextmanager
def defer_signals() -> Iterator[Interruption]:
    """Record signals that request a stop, instead of exiting at once.

    SIGINT (Ctrl-C) and SIGTERM are recorded; a second one has its former effect, or
    ends the process if the main thread compiles and cannot respond. SIGHUP
    (a closed terminal) and SIGUSR1 (Slurm's notice, by `--signal`) are recorded if they
    would end the process, and left alone if they have a handler or are ignored, as
    under `nohup`.

    Only the main thread can handle signals: in any other, none is recorded.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    notices = [x for x in _NOTICES if signal.getsignal(x) is signal.SIG_DFL]
    before = {number: signal.getsignal(number) for number in (*_ENDING, *notices)}
    first: float | None = None
    ended = threading.Event()

    def record(number: int, frame: FrameType | None) -> None:
        nonlocal first
        received, now = signal.Signals(number), time.monotonic()
        if received in _ENDING and first is not None:
            if now - first > signal_watch.REPEATED_SECONDS:
                ended.set()
                restore()
                signal.raise_signal(received)
            return
        if received in _ENDING:
            first = now
        if interruption.signal is None and not watched:
            interruption.announce(received)
        interruption.record(received)

    def restore() -> None:
        interruption.stop_timer()
        _set(before)

    with signal_watch.watch_signals(
        before, announce=interruption.announce, ended=ended
    ) as watched:
        _set(dict.fromkeys(before, record))
        try:
            with interruption.timer():
                yield interruption
        finally:
            restore()


def _set(handlers: dict) -> None:
    for number, handler in handlers.items():
        # None: the handler was not set from Python, which cannot restore it.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
