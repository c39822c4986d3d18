"""Reading of all images of a source, by threads and in their order."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_LOGGER = logging.getLogger(__name__)
_LOG_SECONDS = 10.0
_THREADS = 16
_PART = 1024  # `map` of a pool holds every result that is read ahead.

T = TypeVar("T")


def read_all(read: Callable[[int], T], count: int) -> Iterator[T]:
    """Yield what is read of each index, in order.

    Args:
      read: Function that reads an index; threads call it.
      count: Number of indices.
    """
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for start in range(0, count, _PART):
            yield from pool.map(read, range(start, min(start + _PART, count)))
    finally:
        pool.shutdown(cancel_futures=True)


def read_all_logged(read: Callable[[int], T], count: int, *, noun: str) -> Iterator[T]:
    """Yield as `read_all`; log a line now and then, as it takes long.

    Args:
      read: As for `read_all`.
      count: As for `read_all`.
      noun: What is read, such as "headers".
    """
    logged = time.monotonic()
    for done, found in enumerate(read_all(read, count), 1):
        yield found
        if time.monotonic() > logged + _LOG_SECONDS:
            logged = time.monotonic()
            _LOGGER.info("Read %d of %d %s.", done, count, noun)
