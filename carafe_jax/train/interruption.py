"""Signals that ask a run to stop: noted, and answered at the next step."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LOGGER = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the run was asked to stop, and by which signal."""

    def __init__(self) -> None:
        """Start without a signal."""
        self.signal: signal.Signals | None = None


@contextmanager
def noted_interruption() -> Iterator[Interruption]:
    """Note SIGINT (Ctrl-C) and SIGTERM instead of dying of them.

    A second signal does what it always did.
    """
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal = signal.Signals(number)
        _set(before)
        _LOGGER.warning(
            "%s: saving after this step; again to leave at once.",
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
