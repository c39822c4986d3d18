import pathlib
import sys

import numpy as np
import pytest

from carafe_jax.data import (
    BatchIterator,
    BatchOptions,
    ProcessShard,
    batches_of_all,
    endless_batches,
)
from carafe_jax.errors import RefusedError
from tests.data.batches_by_workers import noisy
from tests.data.positions import check_position, take
from tests.subprocesses import run_python

HERE = BatchOptions(threads=0, prefetch_batches=0)


def test_endless_batches_visit_each_index_equally_often():
    batches = endless_batches(
        lambda index, rng: (index, rng.integers(2**31)),
        count=5,
        visits=2,
        seed=0,
        shard=ProcessShard(batch_size=10),
        options=HERE,
    )
    first, second = next(batches), next(batches)
    for indices, _ in (first, second):
        assert np.bincount(indices).tolist() == [2] * 5
    assert len({*first[1], *second[1]}) == 20


@pytest.mark.parametrize("count", [1, 2])
def test_missing_examples_are_replaced_by_blanks(count):
    shards = [
        list(
            batches_of_all(
                lambda index: None if index == 2 else index,
                blank=-1,
                count=5,
                shard=ProcessShard(batch_size=4, process_index=i, process_count=count),
                options=HERE,
            )
        )
        for i in range(count)
    ]
    batches = [np.concatenate(step).tolist() for step in zip(*shards, strict=True)]
    assert batches == [[0, 1, -1, 3], [4, -1, -1, -1]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"process_count": 0}, "`process_count` must be positive, got 0"),
        (
            {"process_index": 2, "process_count": 2},
            r"`process_index` must lie in \[0, 2\), got 2",
        ),
        (
            {"process_count": 3},
            "`batch_size` must be a positive multiple of the 3 .* 4",
        ),
        ({"batch_size": 0}, "`batch_size` must be a positive multiple of the 1 .* 0"),
    ],
)
def test_batch_that_cannot_be_split_is_refused(fields, message):
    with pytest.raises(RefusedError, match=message):
        ProcessShard(**{"batch_size": 4, **fields})


def _batches(*, count: int = 1, processes: int = 0) -> list[BatchIterator]:
    return [
        endless_batches(
            noisy,
            count=10,
            seed=0,
            shard=ProcessShard(batch_size=4, process_index=i, process_count=count),
            options=BatchOptions(threads=0, prefetch_batches=0, processes=processes),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_position_fits_any_number_of_processes(taken):
    check_position(_batches, taken=taken, count=4)


def test_position_that_counts_the_examples_of_a_process_is_accepted():
    (batches,) = alone = _batches()
    expected = take(alone, 5)[3:]
    batches.set_state({"next_index": 12})
    np.testing.assert_array_equal(take(alone, 2), expected)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"batches": -1},
        {"batches": "1"},
        {"batches": True},
        {"batches": 1.0},
        {"batches": 1, "next_index": 4},
        {"iterators_in_use_states": []},
        {"next_index": -4},
        {"next_index": "4"},
        {"next_index": None},
        {"next_index": 6},  # Within a batch of four.
    ],
)
def test_invalid_position_is_refused(state):
    with pytest.raises(RefusedError, match=r"`state` must be a position such as .*got"):
        _batches()[0].set_state(state)


@pytest.mark.slow
def test_batches_do_not_depend_on_the_workers():
    run_python("-m", "tests.data.batches_by_workers", "compare")


@pytest.mark.slow
def test_library_does_not_load_grain_before_it_is_needed():
    program = "import sys, carafe_jax; sys.exit('grain' in sys.modules)"
    run_python("-c", program)


def test_only_one_module_imports_grain():
    package = pathlib.Path(sys.modules["carafe_jax.data"].__path__[0])
    users = [
        path.name for path in package.rglob("*.py") if "grain." in path.read_text()
    ]
    assert users == ["batches.py"]


def test_small_batches_take_no_more_threads_than_the_buffer_holds(caplog):
    batches = batches_of_all(
        lambda index: np.array([index]),
        blank=np.array([-1]),
        count=6,
        shard=ProcessShard(batch_size=2),
        options=BatchOptions(threads=16, prefetch_batches=2),
    )
    assert np.concatenate(list(batches)).ravel().tolist() == [*range(6)]
    assert caplog.messages == []
