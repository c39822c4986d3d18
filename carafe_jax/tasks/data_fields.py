"""Data fields that all tasks share: their checks, and the batches they define."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np

from carafe_jax.arguments import (
    check_between_0_and_1,
    check_choice,
    check_not_negative,
    check_positive,
    check_seed,
)
from carafe_jax.data import (
    BatchIterator,
    BatchOptions,
    GroupedOrder,
    ProcessShard,
    TestSplit,
    Visit,
    batches_of_all,
    batches_of_all_groups,
    endless_batches,
    endless_batches_of_groups,
)
from carafe_jax.errors import no_type_check

ImageData = TypeVar("ImageData", bound="ImageDataFields")
T = TypeVar("T")
_OF_SOURCE = "of_source"


@runtime_checkable
class DataFields(Protocol):
    """Fields that the data of every task have."""

    @property
    def source(self) -> str:
        """Path of a folder, or another name of a data source."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the training order and of its random choices."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples per step, over all processes together."""
        ...


@runtime_checkable
class ImageDataFields(DataFields, Protocol):
    """Fields of data that are read from a source of images."""

    @property
    def test_split(self) -> TestSplit | None:
        """Name of the test set. None: the first that the source has."""
        ...

    @property
    def test_fraction(self) -> float:
        """Fraction of a folder that is held out for testing."""
        ...

    @property
    def unreadable_limit(self) -> int:
        """Number of unreadable images that are allowed."""
        ...

    @property
    def worker_processes(self) -> int:
        """Worker processes that load batches."""
        ...

    @property
    def read_threads(self) -> int:
        """Threads that load examples ahead, in each process."""
        ...

    @property
    def prefetch_batches(self) -> int:
        """Batches to prefetch, in each process."""
        ...


def check_image_data(data: ImageDataFields) -> None:
    """Check the fields that all image data share.

    Raises:
      RefusedError: A field breaks its rule.
    """
    check_positive("batch_size", data.batch_size)
    check_seed("seed", data.seed)
    if data.test_split is not None:
        check_choice("test_split", data.test_split, get_args(TestSplit))
    check_between_0_and_1("test_fraction", data.test_fraction)
    check_not_negative("unreadable_limit", data.unreadable_limit)
    check_not_negative("worker_processes", data.worker_processes)
    check_not_negative("read_threads", data.read_threads)
    check_not_negative("prefetch_batches", data.prefetch_batches)


def training_iterator(
    example: Callable[[int, np.random.Generator], Any],
    data: ImageDataFields,
    *,
    count: int,
    visits: int = 1,
    process_index: int,
    process_count: int,
) -> "BatchIterator[Any]":
    """Iterate endlessly over this process's shard of training batches.

    Args:
      example: Function that returns a random example of an index.
      data: Batch size, seed, and options for prefetching.
      count: Number of indices.
      visits: Examples of each index in an epoch.
      process_index: Index of this process, as `jax.process_index()`.
      process_count: Number of processes, as `jax.process_count()`.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """
    return endless_batches(
        example,
        count=count,
        visits=visits,
        seed=data.seed,
        shard=batch_shard(data, None, process_index, process_count),
        options=batch_options(data),
    )


def evaluation_iterator(
    example: Callable[[int], Any],
    data: ImageDataFields,
    *,
    blank: Any,
    count: int,
    batch_size: int | None,
    process_index: int,
    process_count: int,
) -> "BatchIterator[Any]":
    """Iterate once over this process's shard of the batches of all examples.

    Args:
      example: Function that returns the example of an index.
      data: Batch size, and options for prefetching.
      blank: Invalid example, to pad the last batch with.
      count: Number of indices.
      batch_size: Examples per batch, over all processes together. None: that of `data`.
      process_index: Index of this process, as `jax.process_index()`.
      process_count: Number of processes, as `jax.process_count()`.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """
    return batches_of_all(
        example,
        blank=blank,
        count=count,
        shard=batch_shard(data, batch_size, process_index, process_count),
        options=batch_options(data),
    )


def grouped_training_iterator(
    example: Callable[[Visit, np.random.Generator], Any],
    data: ImageDataFields,
    *,
    order: GroupedOrder,
    process_index: int,
    process_count: int,
) -> "BatchIterator[Any]":
    """Iterate endlessly over this process's shard of batches, each of one group.

    Args:
      example: Function that returns the random example of a visit.
      data: Batch size, and options for prefetching.
      order: Order of the visits, with the seed and the batch size of `data`.
      process_index: Index of this process, as `jax.process_index()`.
      process_count: Number of processes, as `jax.process_count()`.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """
    return endless_batches_of_groups(
        example,
        order=order,
        shard=batch_shard(data, None, process_index, process_count),
        options=batch_options(data),
    )


def grouped_evaluation_iterator(
    example: Callable[[int, int], Any],
    data: ImageDataFields,
    *,
    blank: Callable[[int], Any],
    groups: Sequence[np.ndarray],
    batch_size: int | None,
    process_index: int,
    process_count: int,
) -> "BatchIterator[Any]":
    """Iterate once over this process's shard of the batches of all groups.

    Args:
      example: Function that returns the example of an index and its group, or None.
      data: Batch size, and options for prefetching.
      blank: Function that returns the invalid example of a group, to pad with.
      groups: Indices of each group.
      batch_size: Examples per batch, over all processes together. None: that of `data`.
      process_index: Index of this process, as `jax.process_index()`.
      process_count: Number of processes, as `jax.process_count()`.

    Raises:
      RefusedError: There is no index, or the batch cannot be split evenly among the
        processes.
    """
    shard = batch_shard(data, batch_size, process_index, process_count)
    return batches_of_all_groups(
        example,
        blank=blank,
        order=GroupedOrder(groups, batch_size=shard.batch_size, seed=None),
        shard=shard,
        options=batch_options(data),
    )


@no_type_check
def source_field(default: T) -> T:
    """Return a dataclass field that describes the files of `source`.

    Its value holds for that source alone: another one has the default (`on_test_set`).
    """
    return dataclasses.field(default=default, metadata={_OF_SOURCE: True})


def on_test_set(
    data: ImageData, *, source: str | None, test_split: TestSplit | None
) -> ImageData:
    """Return a run's data with another test set.

    Args:
      data: Data of the run, a dataclass.
      source: Source of the test set. None: that of the run.
      test_split: Split to evaluate on. None: that of the run; of another source, the
        first of val, validation and test that it has.
    """
    fields: Any = data  # Any: a protocol is no dataclass to type checkers.
    if source is None or source == data.source:
        return dataclasses.replace(fields, test_split=test_split or data.test_split)
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(fields)
        if _OF_SOURCE in field.metadata
    }
    changed = {"source": source, "test_split": test_split, **defaults}
    return dataclasses.replace(fields, **changed)


def evaluated_data(
    data: ImageData,
    *,
    source: str | None,
    test_split: TestSplit | None,
    batch_size: int,
) -> ImageData:
    """Return a run's data as an evaluation reads them.

    Args:
      data: Data of the run, a dataclass.
      source: Source of the images, as for `on_test_set`.
      test_split: Split to evaluate on, as for `on_test_set`.
      batch_size: Images per batch.
    """
    fields: Any = on_test_set(data, source=source, test_split=test_split)
    return dataclasses.replace(fields, batch_size=batch_size)


def batch_options(data: ImageDataFields) -> BatchOptions:
    """Return the options for prefetching batches."""
    return BatchOptions(
        threads=data.read_threads,
        prefetch_batches=data.prefetch_batches,
        processes=data.worker_processes,
    )


def batch_shard(
    data: DataFields, batch_size: int | None, process_index: int, process_count: int
) -> ProcessShard:
    """Return the shard of a batch that one process makes.

    Args:
      data: Fields with the batch size of training.
      batch_size: Examples per batch, over all processes together. None: that of `data`.
      process_index: Index of the process.
      process_count: Number of processes.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """
    return ProcessShard(
        batch_size=data.batch_size if batch_size is None else batch_size,
        process_index=process_index,
        process_count=process_count,
    )
