"""Responses to signals while the main thread compiles.

Python runs a signal handler only between two instructions of the main thread, so not
while XLA compiles. But at once it writes the number of the signal to a file descriptor,
from which a thread reads here.
"""

import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

_LOGGER = logging.getLogger(__name__)
REPEATED_SECONDS = 1.0
"""A signal repeated within this time is the same request: `timeout` and some launchers
send each to a process and to its group."""
_HANDLER_SECONDS = 1.0
"""Time for the handlers of the main thread to respond."""
_STOP = b"\0"  # The number of no signal.


@contextlib.contextmanager
def respond_while_compiling() -> Iterator[None]:
    """Respond to Ctrl-C in the block even while the main thread compiles.

    The KeyboardInterrupt is raised when the compilation ends. If that takes more than a
    moment, a log line says so, and another Ctrl-C ends the process at once. The block
    is left alone outside of the main thread, and where SIGINT has a handler.
    """
    interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not interrupts:
        yield
        return
    ended = threading.Event()

    def announce(received: signal.Signals) -> None:
        if not ended.wait(_HANDLER_SECONDS):
            _LOGGER.warning(
                "%s received: stopping when the current compilation or file operation "
                "ends. Send it again to exit at once.",
                received.name,
            )

    with watch_signals({signal.SIGINT}, announce=announce, ended=ended):
        yield


@contextlib.contextmanager
def watch_signals(
    numbers: Collection[signal.Signals],
    *,
    announce: Callable[[signal.Signals], None],
    ended: threading.Event,
) -> Iterator[bool]:
    """Watch for signals in the block, in a thread. Call it in the main thread.

    SIGINT or SIGTERM ends the process at once if it is sent again, unless the main
    thread responds within a moment.

    Args:
      numbers: Signals to watch for, which have Python handlers.
      announce: Called with the first signal.
      ended: Event to set once the main thread has responded to a second signal. It is
        set at the end of the block.

    Yields:
      Whether signals are watched for: False if an event loop uses Python's descriptor.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        outer = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if outer != -1 and outer not in _OWN:
            signal.set_wakeup_fd(outer)
            yield False
            return
        _close_in_forks()
        _OWN.add(writer.fileno())
        watch = threading.Thread(
            target=_watch, args=(reader, numbers, announce, ended), daemon=True
        )
        watch.start()
        try:
            yield True
        finally:
            ended.set()
            signal.set_wakeup_fd(outer)
            _OWN.discard(writer.fileno())
            writer.setblocking(True)
            writer.send(_STOP)
            watch.join()


_OWN: set[int] = set()
"""Descriptors of the blocks of `watch_signals`, which may be nested."""


def _watch(
    reader: socket.socket,
    numbers: Collection[signal.Signals],
    announce: Callable[[signal.Signals], None],
    ended: threading.Event,
) -> None:
    announced, first = False, None
    while (byte := reader.recv(1)) not in (_STOP, b""):
        number = byte[0]
        if number not in numbers:
            continue
        received, now = signal.Signals(number), time.monotonic()
        if not announced:
            announced = True
            announce(received)
        if received not in (signal.SIGINT, signal.SIGTERM):
            continue
        if first is None:
            first = now
        elif now - first > REPEATED_SECONDS and not ended.wait(_HANDLER_SECONDS):
            _exit(128 + number)


def _exit(status: int) -> None:
    """End the process; a checkpoint that is being written keeps its temporary name."""
    if sys.stdout is not None and sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # Bars hide the cursor.
    os._exit(status)


@functools.cache
def _close_in_forks() -> None:
    """Stop forked processes from reporting their signals to this one."""

    def close() -> None:
        if _OWN:
            signal.set_wakeup_fd(-1)
            _OWN.clear()

    register: Any = getattr(os, "register_at_fork", None)
    if register is not None:  # Windows has no forks.
        register(after_in_child=close)
