"""The warning of JAX 0.11 and later that its Triton backend is deprecated.

JAX raises it whenever a launch is lowered. A user can do nothing about it: the
successor, Mosaic GPU, serves Hopper only, and older devices have nothing else.
"""

import contextlib
import threading
import warnings
from collections.abc import Generator

_MESSAGE = "The Pallas Triton backend is deprecated"

# `catch_warnings` restores the filters that it has found: threads that overlap would
# restore each other's.
_lock = threading.RLock()


@contextlib.contextmanager
def silenced(platform: str) -> Generator[None, None, None]:
    """Ignore that warning while a launch is lowered, then restore the filters."""
    if platform != "cuda":
        yield
        return
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MESSAGE, DeprecationWarning)
        yield
