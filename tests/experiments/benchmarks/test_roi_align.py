import csv

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from carafe_jax.errors import RefusedError
from carafe_jax.ops.roi_align.regions import Spec
from experiments.benchmarks.roi_align.__main__ import RoIAlign, main, make_boxes
from experiments.benchmarks.roi_align.ways import align


def tiny(**changes):
    fields = {
        "image_size": (64, 96),
        "regions": (9,),
        "channels": (2,),
        "output_size": 2,
        "max_samples": 12,
        "repetitions": 1,
    }
    return RoIAlign(**{**fields, **changes})


def test_all_ways_have_the_same_features():
    config = tiny()
    rng = np.random.default_rng(0)
    pyramid = [
        jnp.asarray(rng.normal(size=(1, 64 // stride, 96 // stride, 2)), jnp.float32)
        for stride in (4, 8, 16, 32)
    ]
    boxes = make_boxes(config, 9)
    expected = align("windows", Spec((2, 2)), pyramid, boxes)
    for way in ("fixed_windows", "cells"):
        spec = Spec((2, 2), window=26)
        found = align(way, spec, pyramid, boxes, max_samples=12)
        chex.assert_trees_all_close(found, expected, atol=1e-5)


@pytest.mark.slow
def test_times_and_memory_of_each_way_are_written(tmp_path):
    config = tiny(ways=("windows", "cells"), output=tmp_path / "table.csv")
    assert main(config, Console(record=True, width=120)) == 0
    with config.output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["way"], row["mode"]) for row in rows} == {
        (way, mode) for way in ("windows", "cells") for mode in ("forward", "backward")
    }
    assert all(float(row["seconds"]) > 0 for row in rows)


@pytest.mark.parametrize("field", ["images", "repetitions"])
def test_numbers_below_one_are_refused(field):
    with pytest.raises(RefusedError, match=f"`{field}` must be positive, got 0"):
        tiny(**{field: 0})


def test_missing_values_are_refused():
    with pytest.raises(RefusedError, match="`channels` must have one or more values"):
        tiny(channels=())
