"""Makes batches by worker processes; `python -m tests.data.batches_by_workers WHAT`."""

import multiprocessing
import os
import signal
import sys
import threading
import time

import numpy as np

from carafe_jax.data import (
    BatchIterator,
    BatchOptions,
    ProcessShard,
    batches_of_all,
    endless_batches,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def example(index: int, rng: np.random.Generator) -> np.ndarray:
    return np.full((64, 64), index)


def noisy(index: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([index, rng.integers(1000)])


def identity(index: int) -> int:
    return index


def compare() -> None:
    """Check that batches and positions do not depend on the number of workers."""
    shard = ProcessShard(batch_size=2)
    taken, state = {}, {}
    for processes in (0, 3):
        options = BatchOptions(threads=1, prefetch_batches=1, processes=processes)
        made = endless_batches(noisy, count=9, seed=0, shard=shard, options=options)
        if processes:
            made.set_state(state)  # That of the iterator without workers.
        else:
            next(made)
            state = made.get_state()
        rest = batches_of_all(identity, blank=-1, count=9, shard=shard, options=options)
        taken[processes] = [next(made).tolist() for _ in range(7)], np.array(list(rest))
    for random, whole in taken.values():
        assert random == taken[0][0]
        assert whole.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, -1]]


def batches() -> BatchIterator[np.ndarray]:
    return endless_batches(
        example,
        count=8,
        seed=0,
        shard=ProcessShard(batch_size=4),
        options=BatchOptions(threads=1, prefetch_batches=2, processes=2),
    )


def signal_group() -> None:
    """Send the signals to all processes of this one's group, as a scheduler does."""
    for number in SIGNALS:
        os.killpg(0, number)


def signal_at_start() -> None:
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.001)
    signal_group()


def take_while_signalled(made: BatchIterator[np.ndarray]) -> None:
    thread = threading.Thread(target=signal_at_start)
    thread.start()
    next(made)
    thread.join()
    signal_group()
    for _ in range(20):
        next(made)


def main(what: str) -> None:
    if what == "compare":
        compare()
        return
    made = batches()
    if what == "signals":
        noted: set[int] = set()
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: noted.add(number))
        take_while_signalled(made)
        state = made.get_state()
        del made
        sys.stdout.write(f"left {len(multiprocessing.active_children())}\n")
        made = batches()
        made.set_state(state)
        take_while_signalled(made)
        sys.stdout.write(f"noted {sorted(noted)}\n")
    next(made)
    workers = " ".join(str(each.pid) for each in multiprocessing.active_children())
    sys.stdout.write(f"workers {workers}\n")
    sys.stdout.flush()
    if what == "wait":
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1])
