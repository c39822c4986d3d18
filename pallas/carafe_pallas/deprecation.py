"""Suppression of the warning that Pallas Triton is deprecated.

JAX 0.11 and later warn whenever a launch is lowered. Users cannot act on it: the
successor, Mosaic GPU, needs Hopper or later, and older GPUs have no alternative.
"""

import contextlib
import threading
import warnings
from collections.abc import Generator

_MESSAGE = "The Pallas Triton backend is deprecated"

# `catch_warnings` changes the filters of the whole process: without a lock, threads
# that overlap would restore each other's.
_lock = threading.RLock()


@contextlib.contextmanager
def silenced(platform: str) -> Generator[None, None, None]:
    """Ignore the warning while a launch is lowered, then restore the filters."""
    if platform != "cuda":
        yield
        return
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MESSAGE, DeprecationWarning)
        yield
