"""The operator on meshes of four virtual devices."""

import json

import pytest

from tests.subprocesses import run_python

pytestmark = pytest.mark.slow

ONE_ANCHOR_ROW, ONE_BLOCK = 1, 2**40  # Largest size of a block, in bytes.
PAIR = {"shape": (2, 2), "split": (("a", "b"),)}
BATCH_AND_CHANNELS = {"shape": (2, 2), "split": ("a", None, None, "b")}

BEST = {"implementation": None}

# Each device has its own examples.
SPLIT = {
    "auto axes": {},
    "auto axes, no mesh in force": {"within": False},
    "explicit axes": {"axis_type": "Explicit"},
    "explicit axes, no mesh in force": {"axis_type": "Explicit", "within": False},
    "two auto axes": PAIR,
    "two explicit axes": {**PAIR, "axis_type": "Explicit"},
    "one of two axes": {"shape": (2, 2), "batch_axes": ("b",), "split": ("b",)},
    "one axis divides the batch": {"shape": (2, 2), "batch": 6},
    "vmap": {"call": "vmap"},
    "vmap, no mesh in force": {"call": "vmap", "within": False},
    "vmap, explicit axes": {"call": "vmap", "axis_type": "Explicit"},
    "shard_map": {"call": "shard_map"},
    "shard_map, explicit axes": {"call": "shard_map", "axis_type": "Explicit"},
    "logits": {"logits": True},
    "logits, explicit axes": {"logits": True, "axis_type": "Explicit"},
    "one block": {"block_bytes": ONE_BLOCK},
    "blocks of a row": {"block_bytes": ONE_ANCHOR_ROW},
    "blocks of a row, 1/2": {"block_bytes": ONE_ANCHOR_ROW, "scale": "1/2"},
    "blocks of a row, shard_map": {
        "block_bytes": ONE_ANCHOR_ROW,
        "call": "shard_map",
        "scale": "1/2",
    },
    "best, auto axes": BEST,
    "best, explicit axes": {**BEST, "axis_type": "Explicit"},
    "best, vmap": {**BEST, "call": "vmap"},
    "best, shard_map": {**BEST, "call": "shard_map", "scale": "1/2"},
    "best, logits": {**BEST, "logits": True},
    "groups": {**BATCH_AND_CHANNELS, "channel_axes": ("b",)},
    "groups, explicit axes": {**BATCH_AND_CHANNELS, "axis_type": "Explicit"},
}
# Channels are split, and share one kernel: its gradient is a sum over the devices.
SUMMED = {
    "channels": {**BATCH_AND_CHANNELS, "channel_axes": ("b",), "groups": 1},
    "channels, explicit axes": {
        **BATCH_AND_CHANNELS,
        "axis_type": "Explicit",
        "groups": 1,
    },
    "channels, logits": {
        **BATCH_AND_CHANNELS,
        "channel_axes": ("b",),
        "groups": 1,
        "logits": True,
    },
}
# Split rows: a device needs those rows of its neighbours that its windows reach.
ROWS = {"shape": (2, 2), "split": ("a", "b"), "row_axes": ("b",), "height": 12}
EXCHANGED = {
    "rows": ROWS,
    "rows, 1/2": {**ROWS, "scale": "1/2"},
    "rows, 3/2": {**ROWS, "scale": "3/2"},
    "rows, logits": {**ROWS, "logits": True},
    "rows, logits, 2/3": {**ROWS, "logits": True, "scale": "2/3"},
    "rows over four devices": {**ROWS, "shape": (1, 4)},
    "rows, explicit axes": {**ROWS, "row_axes": (), "axis_type": "Explicit"},
    "rows over both axes": {
        **ROWS,
        "split": (None, ("a", "b")),
        "row_axes": ("a", "b"),
    },
}
# Inside the user's `shard_map`: the features are split, the kernels are replicated.
SHARED = {"call": "shard_map", "shared": True, "logits": True}
SHARING = {
    "shared": SHARED,
    "shared, best": {**SHARED, **BEST},
    "shared, 3/2": {**SHARED, "scale": "3/2"},
    "shared, explicit axes": {**SHARED, "axis_type": "Explicit"},
    "shared, blocks of a row, 1/2": {
        **SHARED,
        "scale": "1/2",
        "block_bytes": ONE_ANCHOR_ROW,
    },
}
# No axis divides the batch.
WHOLE = {
    "a batch of one": {"batch": 1, "split": ()},
    "a batch of six": {"batch": 6, "split": ()},
    "no examples": {"batch": 0, "split": ()},
    "no examples, logits": {"batch": 0, "split": (), "logits": True},
    "one device, explicit axes": {
        "shape": (1,),
        "axis_type": "Explicit",
        "scale": "3/2",
    },
}
REFUSED = {
    "unknown axis": {"batch_axes": ("c",)},
    "columns": {"axis_type": "Explicit", "width": 8, "split": (None, None, "a")},
    "a row too few": {"row_axes": ("a",), "height": 7},
}
EVERY = SPLIT | SUMMED | EXCHANGED | SHARING | WHOLE | REFUSED


@pytest.fixture(scope="module")
def found():
    output = run_python(
        "-W",
        "error",
        "-m",
        "tests.ops.sharding.meshes",
        stdin=json.dumps([*EVERY.values()]),
    )
    return dict(zip(EVERY, json.loads(output.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", SPLIT | SUMMED | EXCHANGED | SHARING | WHOLE)
def test_results_on_a_mesh_are_those_of_one_device(name, found):
    # Float32 sums of up to 36 products of about 1, perhaps in another order.
    assert found[name]["error"] < 1e-5


@pytest.mark.parametrize("name", SPLIT)
def test_results_stay_split_without_communication(name, found):
    assert found[name]["split"] == [True, True, True]
    assert found[name]["collectives"] == []


@pytest.mark.parametrize("name", SUMMED)
def test_gradients_of_shared_kernels_are_summed_and_nothing_else(name, found):
    assert found[name]["split"] == [True, True, True]
    assert found[name]["collectives"] == ["all-reduce"]


@pytest.mark.parametrize("name", EXCHANGED)
def test_split_rows_are_exchanged_between_neighbours_and_nothing_else(name, found):
    assert found[name]["split"] == [True, True, True]
    assert found[name]["collectives"] == ["collective-permute"]


@pytest.mark.parametrize("name", SHARING)
def test_gradient_of_kernels_shared_in_a_shard_map_is_summed_and_nothing_else(
    name, found
):
    assert found[name]["split"] == [True, True, False]
    assert found[name]["collectives"] == ["all-reduce"]


@pytest.mark.parametrize("name", WHOLE)
def test_batch_that_no_axis_divides_is_replicated(name, found):
    assert found[name]["split"] == [False, False, False]
    assert found[name]["collectives"] == []


def test_an_unknown_axis_is_refused(found):
    assert found["unknown axis"]["refused"] == (
        "RefusedError: `batch_axes`, `row_axes` and `channel_axes` must name axes of "
        "the mesh in force, ('a',), got 'c'."
    )


def test_split_columns_are_refused_with_a_message(found):
    refused = found["columns"]["refused"]
    assert refused.startswith("NotImplementedError: A reassembly cannot split columns")


def test_rows_that_do_not_fall_on_devices_in_whole_anchors_are_refused(found):
    assert found["a row too few"]["refused"] == (
        "NotImplementedError: Rows of a reassembly can be split over 4 devices if "
        "their number is a multiple of 4 and each device has at least 1, got 7 rows."
    )
