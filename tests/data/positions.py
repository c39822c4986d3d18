"""Positions of batches, whose iterators may belong to several processes."""

from collections.abc import Callable

import numpy as np

from carafe_jax.data import BatchIterator


def take(iterators: list[BatchIterator], count: int) -> np.ndarray:
    """Return the next batches, each of the shards of all processes."""
    return np.array(
        [np.concatenate([next(each) for each in iterators]) for _ in range(count)]
    )


def check_position(
    batches: Callable[..., list[BatchIterator]], *, taken: int, count: int
) -> None:
    """Check that two processes continue from the position of one.

    Args:
      batches: Function that returns the iterators of `count` processes.
      taken: Batches before the position.
      count: Batches to compare after it.
    """
    (whole,) = alone = batches()
    take(alone, taken)
    halves = batches(count=2)
    for half in halves:
        half.set_state(whole.get_state())
    np.testing.assert_array_equal(take(halves, count), take(alone, count))
    assert halves[0].get_state() == halves[1].get_state() == whole.get_state()
