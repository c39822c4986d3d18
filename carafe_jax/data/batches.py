"""Batches of indexed examples in a fixed order, prefetched by grain."""

import dataclasses
import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grain
import numpy as np
from absl import flags

from carafe_jax.arguments import check, check_positive
from carafe_jax.data.worker_processes import call_starting_workers, prepare_worker
from carafe_jax.errors import RefusedError

Example = TypeVar("Example")


class BatchIterator(grain.DatasetIterator[Example]):
    """Iterator over batches whose position can be saved and restored.

    The position is the number of batches. It does not depend on the number of
    processes, threads or workers.
    """

    def __init__(
        self, make: Callable[[int], Iterator[Example]], *, local_size: int
    ) -> None:
        """Start at the first batch.

        Args:
          make: Function that returns an iterator over the batches from an index on.
          local_size: Examples of a batch in this process. Version 0.1 counted positions
            in these, so that its positions fit only the same number of processes.
        """
        super().__init__()
        self._make, self._local_size = make, local_size
        self._made: Iterator[Example] | None = None
        self._next = 0

    def __next__(self) -> Example:
        if self._made is None:
            self._made = self._make(self._next)
        batch = next(self._made)
        self._next += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Return the position."""
        return {"batches": self._next}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a position that `get_state` returned.

        Raises:
          RefusedError: `state` is not such a position.
        """
        number, rest = _number(state, "batches"), 0
        if number is None and (examples := _number(state, "next_index")) is not None:
            number, rest = divmod(examples, self._local_size)
        if number is None or rest:
            raise RefusedError(
                f'`state` must be a position such as {{"batches": 5}}, got {state!r}. '
                "Version 0.1 stored other positions with worker processes."
            )
        self._made, self._next = None, number


def _number(state: dict[str, Any], name: str) -> int | None:
    """Return the count in a state that has this entry alone, else None."""
    number = state[name] if [*state] == [name] else None
    return number if type(number) is int and number >= 0 else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options for prefetching batches; they do not affect the examples."""

    threads: int
    """Threads in each process that make examples, at most one for each example to
    prefetch; 0 makes each on demand."""
    prefetch_batches: int
    """Batches to prefetch in each process."""
    processes: int = 0
    """Worker processes that make batches; 0 uses threads of this process."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessShard:
    """Shard of each batch that one process makes.

    The global batch of a step has the same examples in the same order for any number of
    processes.

    Raises:
      RefusedError: The batch cannot be split evenly among the processes.
    """

    batch_size: int
    """Examples in a batch, over all processes."""
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

    An epoch visits each of `count` indices `visits` times, in a new order. From a
    restored position, the iterator continues bit for bit.

    Args:
      example: Function that returns the example of an index, with a generator for its
        random choices. It is pickled for the worker processes.
      count: Number of indices.
      visits: Visits of each index in an epoch.
      seed: Seed of the order and of the generators.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches to prefetch.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    examples = (
        grain.MapDataset.range(count)
        .repeat(visits)
        .seed(seed)
        .shuffle()
        .map(int)  # Seeds depend on a step's position: without it examples change.
        .random_map(example)
        .repeat()
    )
    return _iterate(examples, shard=shard, options=options)


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
      example: Function that returns the example of an index, or None if there is none.
        It is pickled for the worker processes.
      blank: Replaces missing examples and pads the last batch, so that all batches have
        the same size, and all processes the same number of batches.
      count: Number of examples.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches to prefetch.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    padded = functools.partial(_padded, example=example, blank=blank, count=count)
    size = -(-count // shard.batch_size) * shard.batch_size
    return batches_of_positions(padded, count=size, shard=shard, options=options)


def batches_of_positions(
    example: Callable[[int], Example],
    *,
    count: int,
    shard: ProcessShard,
    options: BatchOptions,
) -> "BatchIterator[Example]":
    """Iterate over batches of the examples of positions 0 to `count - 1`, in order.

    Args:
      example: Function that returns the example of a position. It is pickled for the
        worker processes.
      count: Number of positions, a multiple of `shard.batch_size`; further ones are not
        visited.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches to prefetch.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    examples = grain.MapDataset.range(count).map(int).map(example)
    return _iterate(examples, shard=shard, options=options)


def _iterate(
    examples: "grain.MapDataset", *, shard: ProcessShard, options: BatchOptions
) -> "BatchIterator[Any]":
    make = functools.partial(
        _make_batches, examples=examples, shard=shard, options=options
    )
    return BatchIterator(make, local_size=shard.local_size)


def _padded(
    index: int, *, example: Callable[[int], Example | None], blank: Example, count: int
) -> Example:
    made = example(index) if index < count else None
    return blank if made is None else made


def _example_of_worker(
    index: int,
    *,
    examples: "grain.MapDataset",
    shard: ProcessShard,
    first: int,
    last: int,
    workers: int,
) -> Any:
    """Return the example at an index of the order in which workers read.

    Grain gives worker w every `workers`-th index from w on, and batches the examples of
    each worker. The indices are therefore mapped to examples such that the j-th batch
    of worker w is the global batch `first + j * workers + w`, for any number of
    workers.

    Args:
      index: Position in the order of reading.
      examples: Examples of all batches, in order.
      shard: Size of a batch, and the shard of it to make.
      first: Index of the first batch.
      last: Number of batches; there are no examples beyond it.
      workers: Number of workers.
    """
    turn, worker = divmod(index, workers)
    turn, place = divmod(turn, shard.local_size)
    batch = first + turn * workers + worker
    if batch >= last:
        return None
    before = batch * shard.batch_size + shard.process_index * shard.local_size
    # Indexed last: an example is seeded by its position in the global order.
    return examples[before + place]


def _make_batches(
    first: int,
    *,
    examples: "grain.MapDataset",
    shard: ProcessShard,
    options: BatchOptions,
) -> Iterator[Any]:
    """Return an iterator over the batches from index `first` on."""
    last, workers = len(examples) // shard.batch_size, max(1, options.processes)
    deal = functools.partial(
        _example_of_worker,
        examples=examples,
        shard=shard,
        first=first,
        last=last,
        workers=workers,
    )
    rounds = -(-(last - first) // workers)
    count = min(rounds * workers * shard.local_size, sys.maxsize)
    own = grain.MapDataset.range(count).map(deal)
    buffer = options.prefetch_batches * shard.local_size
    # More threads than places in the buffer would wait for each other.
    threads = min(options.threads, buffer)
    reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer)
    batches = own.to_iter_dataset(reading).batch(shard.local_size)
    if not options.processes:
        return iter(batches)
    if not flags.FLAGS.is_parsed():  # Grain's workers read absl's flags.
        flags.FLAGS.mark_as_parsed()
    multiprocessing = grain.MultiprocessingOptions(
        num_workers=workers, per_worker_buffer_size=2
    )
    made = iter(batches.mp_prefetch(multiprocessing, worker_init_fn=prepare_worker))

    def take_first() -> list[Any]:
        made.start_prefetch()
        return list(itertools.islice(made, 1))  # Starts the remaining workers.

    return itertools.chain(call_starting_workers(take_first), made)
