import gc
import multiprocessing
import os
import pathlib
import pickle

import numpy as np
import pytest

from carafe_jax.data.sources.shared_arrays import SharedArrays


def large() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "byte": rng.integers(0, 256, 300_001, np.uint8),
        "empty": np.zeros((0, 4)),
        "pair": rng.random((7, 2)),
        "flag": rng.random(11) > 0.5,
    }


def files(folder: pathlib.Path) -> list[str]:
    return os.listdir(folder)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_copies_map_one_file_that_ends_with_the_original(folder):
    arrays = large()
    shared = SharedArrays(arrays)
    pickled = pickle.dumps(shared)
    assert len(pickled) < 1000
    assert pickle.dumps(shared) == pickled
    copy = pickle.loads(pickled)
    again = pickle.loads(pickle.dumps(copy))
    for name, array in arrays.items():
        np.testing.assert_array_equal(copy[name], array, strict=True)
        np.testing.assert_array_equal(again[name], array, strict=True)
    del copy, again
    gc.collect()
    assert len(files(folder)) == 1
    del shared
    gc.collect()
    assert files(folder) == []


def test_small_arrays_are_pickled_themselves(folder):
    copy = pickle.loads(pickle.dumps(SharedArrays({"one": np.arange(5)})))
    np.testing.assert_array_equal(copy["one"], np.arange(5), strict=True)
    assert files(folder) == []


def test_arrays_are_read_only():
    shared = SharedArrays({"one": np.arange(5)})
    with pytest.raises(ValueError, match="read-only"):
        shared["one"][0] = 3


def total(shared: SharedArrays) -> int:
    return int(shared["byte"].sum())


@pytest.mark.slow
def test_another_process_reads_the_arrays(folder):
    shared = SharedArrays(large())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(total, (shared,)) == shared["byte"].sum()
