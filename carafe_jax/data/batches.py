"""Examples by index -> batches in order, made ahead by grain."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import grain
import numpy as np
from absl import flags

from carafe_jax.arguments import check, check_positive
from carafe_jax.data.worker_processes import call_starting_workers, prepare_worker

BatchIterator = grain.DatasetIterator
Example = TypeVar("Example")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options for making batches ahead; they change no number."""

    threads: int
    """Threads of each process that make examples; 0 makes each on demand."""
    prefetch_batches: int
    """Batches made ahead, in each process."""
    processes: int = 0
    """Processes that make batches; 0 uses the threads of this one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessShard:
    """Shard of each batch that one process makes.

    Step n of all processes together holds the same examples in the same order whatever
    their number.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """

    batch_size: int
    """Examples in a batch, over all processes together."""
    process_index: int = 0
    """Index of this process, as `jax.process_index()`."""
    process_count: int = 1
    """Number of processes, as `jax.process_count()`."""

    def __post_init__(self) -> None:
        count, index, size = self.process_count, self.process_index, self.batch_size
        check_positive("process_count", count)
        check("process_index", index, f"lie in [0, {count})", holds=0 <= index < count)
        rule = f"be a positive multiple of the {count} processes"
        check("batch_size", size, rule, holds=size >= 1 and size % count == 0)

    @property
    def local_size(self) -> int:
        """Examples of a batch that this process makes."""
        return self.batch_size // self.process_count


def endless_batches(
    example: Callable[[int, np.random.Generator], Example],
    *,
    count: int,
    visits: int = 1,
    seed: int,
    shard: ProcessShard,
    options: BatchOptions,
) -> "BatchIterator[Example]":
    """Iterate without end over batches of random examples.

    An epoch visits each of `count` indices `visits` times, in an order of its own.
    `get_state()` of the iterator is a small dict, and `set_state` resumes from it bit
    for bit.

    Args:
      example: Makes an example of an index, with a generator for its random choices.
        It is sent to the worker processes.
      count: Number of indices.
      visits: Visits of each in an epoch.
      seed: Seed of the order and of the generators.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches made ahead.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    examples = (
        grain.MapDataset.range(count)
        .repeat(visits)
        .seed(seed)
        .shuffle()
        .map(int)  # Grain seeds each step by its place: without it numbers change.
        .random_map(example)
        .repeat()
    )
    return _batches(examples, shard, options)


def batches_of_all(
    example: Callable[[int], Example | None],
    *,
    blank: Example,
    count: int,
    shard: ProcessShard,
    options: BatchOptions,
) -> "BatchIterator[Example]":
    """Iterate once over batches of the examples of 0 to `count - 1`, in order.

    Args:
      example: Makes the example of an index, or returns None if there is none. It
        is sent to the worker processes.
      blank: Takes the place of missing examples, and pads the last batch: every batch
        has the same size, and every process the same number of batches.
      count: Number of examples.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches made ahead.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    padded = functools.partial(_padded, example=example, blank=blank, count=count)
    size = -(-count // shard.batch_size) * shard.batch_size
    return _batches(grain.MapDataset.range(size).map(padded), shard, options)


def _padded(
    index: int, *, example: Callable[[int], Example | None], blank: Example, count: int
) -> Example:
    made = example(index) if index < count else None
    return blank if made is None else made


def _of_shard(index: int, *, examples: "grain.MapDataset", shard: ProcessShard) -> Any:
    """Return an example of a process, whose shard of a batch is contiguous."""
    batch, place = divmod(index, shard.local_size)
    first = batch * shard.batch_size + shard.process_index * shard.local_size
    return examples[first + place]


def _batches(
    examples: "grain.MapDataset", shard: ProcessShard, options: BatchOptions
) -> "BatchIterator[Any]":
    own = examples
    if shard.process_count > 1:
        # Chosen last: an example is seeded by its place in the order of all processes.
        take = functools.partial(_of_shard, examples=examples, shard=shard)
        own = grain.MapDataset.range(len(examples) // shard.process_count).map(take)
    reading = grain.ReadOptions(
        num_threads=options.threads,
        prefetch_buffer_size=options.prefetch_batches * shard.local_size,
    )
    batches = own.to_iter_dataset(reading).batch(shard.local_size)
    if not options.processes:
        return iter(batches)
    if not flags.FLAGS.is_parsed():  # Grain's workers read theirs.
        flags.FLAGS.mark_as_parsed()
    workers = grain.MultiprocessingOptions(
        num_workers=options.processes, per_worker_buffer_size=2
    )
    batches = batches.mp_prefetch(workers, worker_init_fn=prepare_worker)
    return _BatchesOfWorkers(iter(batches))


class _BatchesOfWorkers(grain.DatasetIterator):
    """Batches of worker processes, which start with the first of them."""

    def __init__(self, batches: grain.DatasetIterator) -> None:
        super().__init__(batches)
        self._has_started = False

    def __next__(self) -> Any:
        if self._has_started:
            return next(self._parent)
        self._has_started = True
        return call_starting_workers(self._first)

    def _first(self) -> Any:
        # With a position, `next` alone would start the first worker alone.
        self._parent.start_prefetch()
        return next(self._parent)

    def start_prefetch(self) -> None:
        call_starting_workers(self._parent.start_prefetch)

    def get_state(self) -> dict[str, Any]:
        return self._parent.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        self._parent.set_state(state)
        self._has_started = False
