"""Batches whose examples come from groups, such as images of equal size."""

import functools
import sys
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from carafe_jax.data.batches import (
    BatchIterator,
    BatchOptions,
    ProcessShard,
    batches_of_positions,
)
from carafe_jax.data.grouped_order import GroupedOrder, Visit

Example = TypeVar("Example")


def endless_batches_of_groups(
    example: Callable[[Visit, np.random.Generator], Example],
    *,
    order: GroupedOrder,
    shard: ProcessShard,
    options: BatchOptions,
) -> "BatchIterator[Example]":
    """Iterate without end over batches of random examples; a batch holds one group.

    The batches depend on the order alone. From a restored position, the iterator
    continues bit for bit.

    Args:
      example: Function that returns the example of a visit, with a generator for its
        random choices. The examples of a batch have equal shapes. It is pickled for the
        worker processes.
      order: Order of the visits, with a seed and with batches of `shard.batch_size`.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches to prefetch.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    visited = functools.partial(_random_example, example=example, order=order)
    return batches_of_positions(
        visited, count=sys.maxsize, shard=shard, options=options
    )


def batches_of_all_groups(
    example: Callable[[int, int], Example | None],
    *,
    blank: Callable[[int], Example],
    order: GroupedOrder,
    shard: ProcessShard,
    options: BatchOptions,
) -> "BatchIterator[Example]":
    """Iterate once over batches of the examples of all groups; a batch holds one group.

    Args:
      example: Function that returns the example of an index and its group, or None if
        there is none. It is pickled for the worker processes.
      blank: Function that returns the example that replaces missing ones of a group,
        and that pads its last batch, so that all processes have the same number of
        batches.
      order: Order of the visits, without a seed, with batches of `shard.batch_size`.
      shard: Size of a batch, and the shard of it to make.
      options: Threads, processes and batches to prefetch.

    Returns:
      Batches of `shard.local_size` examples, stacked.
    """
    visited = functools.partial(
        _example_or_blank, example=example, blank=blank, order=order
    )
    count = order.batches_per_epoch * order.batch_size
    return batches_of_positions(visited, count=count, shard=shard, options=options)


def _random_example(
    position: int,
    *,
    example: Callable[[Visit, np.random.Generator], Example],
    order: GroupedOrder,
) -> Example:
    return example(order.visit(position), order.generator(position))


def _example_or_blank(
    position: int,
    *,
    example: Callable[[int, int], Example | None],
    blank: Callable[[int], Example],
    order: GroupedOrder,
) -> Example:
    visit = order.visit(position)
    made = None if visit.fills else example(visit.index, visit.group)
    return blank(visit.group) if made is None else made
