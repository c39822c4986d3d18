import pathlib
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from carafe_jax.data import UnreadableImageError, open_photographs
from tests.data.sources.pictures import reds, write

BYTES = 3 * 16 * 16  # Of a photograph.


def opened(folder: pathlib.Path, **kwargs):
    return open_photographs(str(folder), split="train", minimum_side=8, **kwargs)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, [*(f"train/{i}.png" for i in range(5)), "test/0.png"])


def remove(folder):
    for path in folder.rglob("*.png"):
        path.unlink()


def test_photographs_are_read_on_demand(folder):
    photographs = opened(folder)
    remove(folder)
    with pytest.raises(UnreadableImageError):
        photographs[0]


def test_photograph_that_was_read_is_held_in_memory(folder):
    photographs = opened(folder)
    before = [photographs[i].copy() for i in range(5)]
    remove(folder)
    np.testing.assert_array_equal([photographs[i] for i in range(5)], before)


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (2 * BYTES, 2), (3 * BYTES - 1, 2)])
def test_memory_is_bounded(folder, room, kept):
    photographs = opened(folder, cache_bytes=room)
    assert reds(photographs) == reds(photographs) == [0, 1, 2, 3, 4]
    remove(folder)
    for index in range(kept):
        photographs[index]
    with pytest.raises(UnreadableImageError):
        photographs[kept]


def test_threads_keep_the_bound(folder):
    photographs = opened(folder, cache_bytes=2 * BYTES)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: int(photographs[i % 5][0, 0, 0]), range(200)))
    assert found == [i % 5 for i in range(200)]
    remove(folder)
    held = 0
    for index in range(5):
        try:
            photographs[index]
        except UnreadableImageError:
            continue
        held += 1
    assert held == 2


def test_photographs_in_memory_cannot_be_changed(folder):
    with pytest.raises(ValueError, match="read-only"):
        opened(folder)[0][:] = 0


def test_small_photographs_are_named_by_their_size(folder):
    write(folder, ["train/0.png"], side=7)
    photographs = opened(folder)
    assert photographs.name(0) == str(folder / "train/0.png")
    with pytest.raises(ValueError, match=r"^7 x 7 pixels, a side under 8$"):
        photographs[0]


def test_copy_in_another_process_starts_with_an_empty_memory(folder):
    photographs = opened(folder)
    pickled = pickle.dumps(photographs)
    assert reds(photographs) == [0, 1, 2, 3, 4]
    assert pickle.dumps(photographs) == pickled
    assert reds(pickle.loads(pickled)) == [0, 1, 2, 3, 4]
