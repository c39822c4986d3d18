"""Signals that stop a run, at its next step."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LOGGER = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A request to stop the run, and its signal."""

    def __init__(self) -> None:
        """Start without a signal."""
        self.signal: signal.Signals | None = None


@contextmanager
def noted_interruption() -> Iterator[Interruption]:
    """Note SIGINT (Ctrl-C) and SIGTERM instead of exiting at once.

    A second signal has the effect that it had before. Off the main thread, which alone
    can handle signals, nothing is noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal = signal.Signals(number)
        _set(before)
        _LOGGER.warning(
            "%s received: saving after this step. Send it again to exit at once.",
            interruption.signal.name,
        )

    _set(dict.fromkeys(_SIGNALS, note))
    try:
        yield interruption
    finally:
        _set(before)


def _set(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
