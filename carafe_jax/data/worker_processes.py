"""Worker processes that make batches, ignore signals to the job and end with it.

A scheduler sends SIGTERM to all processes of a job to stop it, or SIGUSR1 as a warning;
a terminal sends SIGINT, or SIGHUP when it is closed. The training process then saves
its state, for which it may need another batch. The workers end with that process,
however it ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from typing import TypeVar

T = TypeVar("T")

_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if name in signal.Signals.__members__  # Windows has two of these.
)


def prepare_worker(index: int, count: int) -> None:
    """Prepare this process: ignore signals to the job, and end with the parent.

    Args:
      index: Index of the worker.
      count: Number of workers.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def call_starting_workers(function: Callable[[], T]) -> T:
    """Return the result of a function that starts workers with blocked signals.

    A process takes seconds to start, and has the default handlers until
    `prepare_worker` runs, but it inherits the blocked signals of the thread that starts
    it. The function therefore runs in another thread, and the caller's thread still
    handles signals.

    Args:
      function: Function to call in another thread.
    """
    pool = ThreadPoolExecutor(1, initializer=_block_signals)
    try:
        return pool.submit(function).result()
    finally:
        pool.shutdown(wait=False)


def _block_signals() -> None:
    if not hasattr(signal, "pthread_sigmask"):
        return
    # The resource tracker inherits the blocked signals, too. Starting it unblocks some.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
