"""Batches that hold one group: their order, epochs, positions and blanks."""

import pickle

import numpy as np
import pytest

from carafe_jax.data import (
    BatchIterator,
    BatchOptions,
    GroupedOrder,
    ProcessShard,
    Visit,
    batches_of_all_groups,
    endless_batches_of_groups,
)
from carafe_jax.errors import RefusedError
from tests.data.positions import check_position, take

HERE = BatchOptions(threads=0, prefetch_batches=0)
GROUPS = [np.arange(0, 12, 2), np.arange(1, 11, 2)]


def noisy(visit: Visit, rng: np.random.Generator) -> np.ndarray:
    return np.array([visit.index, visit.group, rng.integers(2**31)])


def order_of(groups=GROUPS, *, batch_size=4, seed: int | None = 0) -> GroupedOrder:
    return GroupedOrder(groups, batch_size=batch_size, seed=seed)


def visits_of(order: GroupedOrder, batches: range):
    """Return the visits of each batch."""
    size = order.batch_size
    return [[order.visit(b * size + place) for place in range(size)] for b in batches]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
def test_epoch_visits_each_index_once_in_batches_of_one_group(batch_size):
    order = order_of(batch_size=batch_size)
    expected = np.concatenate(GROUPS).tolist()
    assert order.batches_per_epoch == sum(-(-len(g) // batch_size) for g in GROUPS)
    orders = []
    for epoch in range(3):
        first = epoch * order.batches_per_epoch
        batches = visits_of(order, range(first, first + order.batches_per_epoch))
        for number, batch in enumerate(batches):
            assert {visit.batch for visit in batch} == {first + number}
            assert len({visit.group for visit in batch}) == 1
            assert all(visit.index in GROUPS[visit.group] for visit in batch)
            # What fills a batch comes last.
            fills = [visit.fills for visit in batch]
            assert fills == sorted(fills)
            assert not fills[0]
        orders.append([v.index for batch in batches for v in batch if not v.fills])
        assert sorted(orders[-1]) == sorted(expected)
    assert orders[0] != orders[1] != orders[2]


def test_order_mixes_the_batches_of_groups():
    groups = [np.arange(100), np.arange(100, 200)]
    order = order_of(groups)
    groups = [batch[0].group for batch in visits_of(order, range(50))]
    assert groups != sorted(groups)


def test_order_depends_on_the_seed_alone():
    order, copy = order_of(), pickle.loads(pickle.dumps(order_of()))
    expected = visits_of(order, range(20))
    # In any order of access, and after pickling.
    for batch in (19, 3, 0, 11):
        assert visits_of(copy, range(batch, batch + 1))[0] == expected[batch]
    assert visits_of(order_of(seed=1), range(20)) != expected


def test_groups_are_filled_with_other_indices_of_their_own():
    order = order_of([np.arange(3), np.array([7])], batch_size=2)
    batches = visits_of(order, range(3))
    (single,) = [batch for batch in batches if batch[0].group == 1]
    assert [visit.index for visit in single] == [7, 7]
    assert [visit.fills for visit in single] == [False, True]
    (filled,) = [b for b in batches if b[0].group == 0 and b[1].fills]
    assert filled[0].index != filled[1].index


def test_order_without_a_seed_is_that_of_the_groups():
    order = order_of(seed=None)
    visits = [v for batch in visits_of(order, range(4)) for v in batch if not v.fills]
    assert [v.index for v in visits] == np.concatenate(GROUPS).tolist()


def test_order_without_indices_is_refused():
    with pytest.raises(RefusedError, match="`groups` must have at least one index"):
        order_of([np.arange(0)])


def test_epoch_of_many_indices_is_computed_once(monkeypatch):
    order = order_of([np.arange(1000)])
    made = []
    make = order._make_epoch
    monkeypatch.setattr(order, "_make_epoch", lambda n: made.append(n) or make(n))
    positions = [0, 999, 1000, 999, 1001, 2000, 1999]
    for position in positions:
        order.visit(position)
    assert made == [0, 1, 2]


def _batches(*, count: int = 1) -> list[BatchIterator]:
    return [
        endless_batches_of_groups(
            noisy,
            order=order_of(),
            shard=ProcessShard(batch_size=4, process_index=i, process_count=count),
            options=HERE,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_position_fits_any_number_of_processes(taken):
    check_position(_batches, taken=taken, count=9)


def test_examples_draw_from_generators_of_their_own():
    taken = take(_batches(), 8).reshape(-1, 3)
    assert len(np.unique(taken[:, 2])) == len(taken)


@pytest.mark.parametrize("count", [1, 2])
def test_all_groups_are_seen_once_with_blanks_of_their_own(count):
    shards = [
        list(
            batches_of_all_groups(
                lambda index, group: None if index == 2 else np.array([group, index]),
                blank=lambda group: np.array([group, -1]),
                order=order_of(seed=None),
                shard=ProcessShard(batch_size=4, process_index=i, process_count=count),
                options=HERE,
            )
        )
        for i in range(count)
    ]
    batches = [np.concatenate(step) for step in zip(*shards, strict=True)]
    assert [batch[:, 0].tolist() for batch in batches] == [[0] * 4] * 2 + [[1] * 4] * 2
    assert [batch[:, 1].tolist() for batch in batches] == [
        [0, -1, 4, 6],
        [8, 10, -1, -1],
        [1, 3, 5, 7],
        [9, -1, -1, -1],
    ]
