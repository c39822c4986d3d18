"""Examples by index -> batches in order, made ahead: the file that knows grain."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import grain
import numpy as np
from absl import flags

from carafe_jax.errors import RefusedError

BatchIterator = grain.DatasetIterator
Examples = Callable[[int], Any]
RandomExamples = Callable[[Any, np.random.Generator], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How batches are made ahead; changes no number.

    Attributes:
        threads: Threads of each process that make examples; 0 makes each when it is
            asked for.
        prefetch: Examples made ahead, in each process.
        processes: Processes that make batches; 0 makes them in this one.
    """

    threads: int
    prefetch: int
    processes: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """Which part of each batch a process takes.

    Step n of all processes together holds the same examples in the same order whatever
    their number.

    Raises:
        RefusedError: The processes cannot share a batch evenly.
    """

    batch_size: int
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        count, index, size = self.process_count, self.process_index, self.batch_size
        if count < 1:
            raise RefusedError(f"`process_count` must be positive, got {count}.")
        if not 0 <= index < count:
            raise RefusedError(
                f"`process_index` must lie in [0, {count}), got {index}."
            )
        if size < 1 or size % count:
            raise RefusedError(
                f"`batch_size` must be a positive multiple of the {count} processes, "
                f"got {size}."
            )

    @property
    def local_size(self) -> int:
        """Examples of a batch that are this process's."""
        return self.batch_size // self.process_count


def endless_batches(
    read: Examples,
    augment: RandomExamples,
    *,
    count: int,
    visits: int = 1,
    seed: int,
    share: Share,
    loading: Loading,
) -> "BatchIterator[Any]":
    """Iterate without end over what `augment` makes of what `read` reads.

    An epoch visits each of `count` indices `visits` times, in an order of its own.
    `get_state()` of the iterator is a small dict, and `set_state` goes on from it bit
    for bit.
    """
    examples = (
        grain.MapDataset.range(count)
        .repeat(visits)
        .seed(seed)
        .shuffle()
        .map(read)
        .random_map(augment)
        .repeat()
    )
    return iter(_batches(examples, share, loading))


def batches_of_all(
    read: Examples, *, count: int, share: Share, loading: Loading
) -> "BatchIterator[Any]":
    """Iterate once over `read(0)` to `read(count - 1)`, in order.

    The last batch is as large as the others: `read` is called with larger indices too.
    """
    padded = -(-count // share.batch_size) * share.batch_size
    return iter(_batches(grain.MapDataset.range(padded).map(read), share, loading))


def _of_all(index: int, *, examples: "grain.MapDataset", share: Share) -> Any:
    """Read an example of a process: its part of a batch is one piece of it."""
    batch, place = divmod(index, share.local_size)
    first = batch * share.batch_size + share.process_index * share.local_size
    return examples[first + place]


def _batches(
    examples: "grain.MapDataset", share: Share, loading: Loading
) -> "grain.IterDataset":
    own = examples
    if share.process_count > 1:
        # Chosen last: whoever makes an example, its place in the whole order seeds it.
        take = functools.partial(_of_all, examples=examples, share=share)
        own = grain.MapDataset.range(len(examples) // share.process_count).map(take)
    options = grain.ReadOptions(
        num_threads=loading.threads, prefetch_buffer_size=loading.prefetch
    )
    batches = own.to_iter_dataset(options).batch(share.local_size)
    if loading.processes:
        if not flags.FLAGS.is_parsed():  # Grain's workers read theirs.
            flags.FLAGS.mark_as_parsed()
        batches = batches.mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=loading.processes, per_worker_buffer_size=2
            )
        )
    return batches
