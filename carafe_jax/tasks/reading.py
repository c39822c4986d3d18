"""Checks and meaning of the fields that the data of every task have."""

from typing import Protocol, runtime_checkable

from carafe_jax.arguments import (
    check_between_0_and_1,
    check_not_negative,
    check_positive,
    check_seed,
)
from carafe_jax.data.loading import Loading, ProcessShard


@runtime_checkable
class ReadFields(Protocol):
    """What tasks' data have in common."""

    @property
    def batch_size(self) -> int:
        """Examples in a step, over all processes together."""
        ...

    @property
    def seed(self) -> int:
        """Of the order of training, and of what is random in it."""
        ...

    @property
    def test_fraction(self) -> float:
        """Part of a folder that is kept for the test."""
        ...

    @property
    def unreadable_limit(self) -> int:
        """Images that may be unreadable before it is an error."""
        ...

    @property
    def worker_processes(self) -> int:
        """Processes that make batches."""
        ...

    @property
    def read_threads(self) -> int:
        """Threads of each process that make batches ahead."""
        ...

    @property
    def prefetch_batches(self) -> int:
        """Batches made ahead, in each process."""
        ...


def check_reading(data: ReadFields) -> None:
    """Refuse values that make no sense, naming the field.

    Raises:
        RefusedError: If a field breaks its rule.
    """
    check_positive("batch_size", data.batch_size)
    check_seed("seed", data.seed)
    check_between_0_and_1("test_fraction", data.test_fraction)
    check_not_negative("unreadable_limit", data.unreadable_limit)
    check_not_negative("worker_processes", data.worker_processes)
    check_not_negative("read_threads", data.read_threads)
    check_not_negative("prefetch_batches", data.prefetch_batches)


def loading_of(data: ReadFields) -> Loading:
    """Return how batches are made ahead."""
    return Loading(
        threads=data.read_threads,
        prefetch_batches=data.prefetch_batches,
        processes=data.worker_processes,
    )


def shard_of(
    data: ReadFields,
    *,
    batch_size: int | None = None,
    process_index: int,
    process_count: int,
) -> ProcessShard:
    """Return the part of each batch that a process makes.

    Args:
        data: Whose `batch_size` is used where none is given.
        batch_size: Examples in a batch, over all processes together.
        process_index: Which of the processes this is.
        process_count: How many make each batch together.

    Returns:
        The part.

    Raises:
        RefusedError: If the batch cannot be split evenly among the processes.
    """
    return ProcessShard(
        batch_size=data.batch_size if batch_size is None else batch_size,
        process_index=process_index,
        process_count=process_count,
    )
