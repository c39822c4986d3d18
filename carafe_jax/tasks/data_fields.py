"""Fields that the data of tasks share, with their checks."""

from typing import Protocol, runtime_checkable

from carafe_jax.arguments import (
    check_between_0_and_1,
    check_not_negative,
    check_positive,
    check_seed,
)
from carafe_jax.data import BatchOptions, ProcessShard


@runtime_checkable
class DataFields(Protocol):
    """Fields that the data of every task have."""

    @property
    def source(self) -> str:
        """Path of a folder, or another name of the data."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the order of training, and of the random choices in it."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples in a step, over all processes together."""
        ...


@runtime_checkable
class ImageDataFields(DataFields, Protocol):
    """Fields of data that are read from a source of images."""

    @property
    def test_fraction(self) -> float:
        """Fraction of a folder that is held out for the test."""
        ...

    @property
    def unreadable_limit(self) -> int:
        """Unreadable images that are allowed."""
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


def check_image_data(data: ImageDataFields) -> None:
    """Refuse values that make no sense, naming the field.

    Raises:
      RefusedError: A field breaks its rule.
    """
    check_positive("batch_size", data.batch_size)
    check_seed("seed", data.seed)
    check_between_0_and_1("test_fraction", data.test_fraction)
    check_not_negative("unreadable_limit", data.unreadable_limit)
    check_not_negative("worker_processes", data.worker_processes)
    check_not_negative("read_threads", data.read_threads)
    check_not_negative("prefetch_batches", data.prefetch_batches)


def batch_options(data: ImageDataFields) -> BatchOptions:
    """Return the options for making batches ahead."""
    return BatchOptions(
        threads=data.read_threads,
        prefetch_batches=data.prefetch_batches,
        processes=data.worker_processes,
    )


def process_shard(
    data: DataFields,
    *,
    batch_size: int | None = None,
    process_index: int,
    process_count: int,
) -> ProcessShard:
    """Return the shard of each batch that a process makes.

    Args:
      data: Its `batch_size` is the default.
      batch_size: Examples in a batch, over all processes together.
      process_index: Index of the process, as `jax.process_index()`.
      process_count: Number of processes, as `jax.process_count()`.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """
    return ProcessShard(
        batch_size=data.batch_size if batch_size is None else batch_size,
        process_index=process_index,
        process_count=process_count,
    )
