"""Non-maximum suppression against mmcv's results and a loop, in both ways."""

import functools
import importlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from carafe_jax.errors import RefusedError
from carafe_jax.ops import Boxes, clip_boxes, decode_boxes, nms
from carafe_jax.ops.suppression import suppress_by_rows, suppress_by_sweeps
from tests import detection_goldens
from tests.ops import greedy

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
f32 = functools.partial(np.array, dtype=np.float32)
# A and C overlap B with IoU 0.4, and each other with 1 / 13.
CHAIN = f32([[0, 0, 7, 1], [3, 0, 10, 1], [6, 0, 13, 1]])


@pytest.fixture(params=[suppress_by_rows, suppress_by_sweeps])
def way(request, monkeypatch):
    """Suppress as on a CPU, and as elsewhere."""
    # The package has a function of the module's name.
    module = importlib.import_module("carafe_jax.ops.nms")
    monkeypatch.setattr(module, "suppress", request.param)


def kept_of(boxes, scores, *, valid=None, max_outputs=None, **options):
    if valid is None:
        valid = np.ones(len(boxes), bool)
    max_outputs = len(boxes) if max_outputs is None else max_outputs

    @jax.jit
    def run(boxes, valid, scores):
        boxes = Boxes(boxes, valid)
        return nms(boxes, scores, max_outputs=max_outputs, **options)

    return greedy.indices_of(run(boxes, valid, scores))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_boxes_of_many_levels_are_those_that_mmcv_keeps(dtype):
    golden = np.load(GOLDENS / "detection" / "nms_2000_boxes.npz")
    with jax.enable_x64(dtype == np.float64):
        kept = kept_of(
            golden["boxes"].astype(dtype),
            golden["scores"].astype(dtype),
            groups=golden["groups"],
            iou_threshold=0.7,
        )
    assert kept == golden["keep"].tolist()


@pytest.mark.slow
def test_proposals_are_those_of_mmdetection():
    # Those of the other detectors are compared in `models/detection`.
    name = "mask_rcnn_fpn"
    golden, fields = detection_goldens.load(name), detection_goldens.describe(name)
    limits = fields["ctor"]["test_nms_pre"], fields["ctor"]["test_max_per_img"]
    for image in detection_goldens.images_of(name):
        # Rounded to float32, as the deltas of some levels are.
        expected = f32(golden[f"ref64_test/proposals/{image}/bboxes"])
        boxes, logits, levels = proposed(golden, image, limits[0])
        with jax.enable_x64(True):
            size = golden["meta/img_shape"][image].tolist()
            boxes = np.asarray(clip_boxes(boxes, size))
            has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            options = {"valid": has_area, "groups": levels, "iou_threshold": 0.7}
            kept = kept_of(boxes, logits, max_outputs=limits[1], **options)
        assert len(kept) == len(expected)
        stage = "test/proposals/bboxes"
        detection_goldens.check_close(boxes[kept], expected, name=name, stage=stage)


def proposed(golden, image, best_of_level):
    """Return the decoded boxes of all levels, their logits and levels."""
    logits, deltas, levels = [], [], []
    for level in range(5):
        maps = [
            golden[f"ref64_test/rpn_{kind}/{level}"][image] for kind in ("cls", "reg")
        ]
        logits.append(np.moveaxis(maps[0], 0, -1).reshape(-1).astype(np.float64))
        deltas.append(np.moveaxis(maps[1], 0, -1).reshape(-1, 4).astype(np.float64))
        levels.append(np.full(len(logits[-1]), level, np.int32))
    starts = np.cumsum([0, *map(len, logits)])
    chosen = np.concatenate(
        [
            start + np.argsort(-scores, kind="stable")[:best_of_level]
            for start, scores in zip(starts, logits, strict=False)
        ]
    )
    with jax.enable_x64(True):
        anchors = golden["ref64_test/anchors"][chosen]
        boxes = decode_boxes(np.concatenate(deltas)[chosen], anchors)
    return boxes, np.concatenate(logits)[chosen], np.concatenate(levels)[chosen]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_boxes_are_those_that_mmcv_keeps(threshold):
    golden = np.load(GOLDENS / "models" / "nms.npz")
    boxes, scores = golden["boxes"], golden["scores"]
    kept = kept_of(boxes, scores, iou_threshold=threshold)
    assert kept == golden[f"nms/thr{threshold}/offset0/keep"].tolist()
    labels = golden["labels"].astype(np.int32)
    kept = kept_of(boxes, scores, iou_threshold=threshold, groups=labels)
    assert kept == golden[f"batched_nms/thr{threshold}/keep"].tolist()


def test_the_best_of_the_boxes_above_a_score_are_those_of_mmcv():
    golden = np.load(GOLDENS / "models" / "nms.npz")
    scores = golden["scores"]
    options = {"valid": scores > 0.3, "iou_threshold": 0.5, "max_outputs": 10}
    kept = kept_of(golden["boxes"], scores, **options)
    assert kept == golden["nms/thr0.5/score0.3/max10/keep"].tolist()


@pytest.mark.usefixtures("way")
def test_a_box_that_is_removed_removes_nothing():
    scores = f32([0.9, 0.8, 0.7])
    assert kept_of(CHAIN, scores, iou_threshold=0.3) == [0, 2]
    assert kept_of(CHAIN, scores[[1, 0, 2]], iou_threshold=0.3) == [1]
    assert kept_of(CHAIN, scores, iou_threshold=0.05) == [0]


def test_an_overlap_equal_to_the_threshold_suppresses_nothing():
    boxes = f32([[0, 0, 4, 1], [0, 0, 2, 1]])
    scores = f32([0.9, 0.8])
    assert kept_of(boxes, scores, iou_threshold=0.5) == [0, 1]
    assert kept_of(boxes, scores, iou_threshold=0.49) == [0]
    # Equal boxes overlap by 1, and boxes that touch by 0.
    assert kept_of(boxes[[0, 0]], scores, iou_threshold=1) == [0, 1]
    touching = f32([[0, 0, 1, 1], [1, 0, 2, 1]])
    assert kept_of(touching, scores, iou_threshold=0) == [0, 1]


def test_of_equal_scores_the_lower_index_comes_first():
    boxes = f32([[0, 0, 1, 1], [8, 0, 9, 1], [0, 0, 1, 1], [4, 0, 5, 1]])
    scores = f32([0.5, 0.5, 0.5, 0.6])
    assert kept_of(boxes, scores, iou_threshold=0.5) == [3, 0, 1]


def test_boxes_that_are_not_valid_are_never_kept():
    scores = f32([0.9, 0.8, 0.7])
    invalid = np.zeros(3, bool)
    assert kept_of(CHAIN, scores, valid=invalid, iou_threshold=0.3) == []
    first = np.array([False, True, True])
    assert kept_of(CHAIN, scores, valid=first, iou_threshold=0.3) == [1]


def test_a_valid_box_with_the_lowest_score_comes_before_padding():
    scores = f32([-np.inf, 0, -np.inf])
    valid = np.array([False, True, True])
    assert kept_of(CHAIN, scores, valid=valid, iou_threshold=0.5) == [1, 2]


def test_boxes_without_area_overlap_nothing():
    boxes = f32([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 4]])
    scores = f32([0.3, 0.2, 0.1])
    assert kept_of(boxes, scores, iou_threshold=0.3) == [0, 1, 2]


def test_no_slots_at_all_and_more_outputs_than_slots_are_padded():
    empty = Boxes(jnp.zeros((0, 4)), jnp.zeros(0, bool))
    kept = nms(empty, jnp.zeros(0), iou_threshold=0.5, max_outputs=3)
    assert kept.indices.shape == (3,)
    assert not kept.valid.any()
    scores = f32([0.9, 0.8, 0.7])
    assert kept_of(CHAIN, scores, iou_threshold=0.3, max_outputs=7) == [0, 2]


def test_padding_changes_nothing():
    rng = np.random.default_rng(0)
    boxes, scores = random_boxes(rng, 30), rng.random(30).astype(np.float32)
    expected = kept_of(boxes, scores, iou_threshold=0.3)
    # Whatever padding holds: its scores are the best.
    boxes = np.concatenate([boxes, np.full((7, 4), np.nan, np.float32), boxes[:5]])
    scores = np.concatenate([scores, np.full(12, 2, np.float32)])
    valid = np.arange(42) < 30
    assert kept_of(boxes, scores, valid=valid, iou_threshold=0.3) == expected


@pytest.mark.usefixtures("way")
def test_images_and_levels_under_vmap_do_not_influence_each_other():
    rng = np.random.default_rng(2)
    boxes = random_boxes(rng, 2 * 3 * 25).reshape(2, 3, 25, 4)
    scores = rng.random((2, 3, 25)).astype(np.float32)
    valid = rng.random((2, 3, 25)) < 0.8
    run = functools.partial(nms, iou_threshold=0.2, max_outputs=20)
    found = jax.jit(jax.vmap(jax.vmap(run)))(Boxes(boxes, valid), scores)
    for at in np.ndindex(2, 3):
        one = jax.tree.map(lambda x, at=at: x[at], found)
        options = {"valid": valid[at], "iou_threshold": 0.2}
        expected = greedy.nms(boxes[at], scores[at], **options)[:20]
        assert greedy.indices_of(one) == expected


@pytest.mark.usefixtures("way")
def test_nms_runs_in_a_shard_map_where_scores_alone_vary():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    valid = jnp.ones(3, bool)

    def run(scores):
        return nms(Boxes(CHAIN, valid), scores, iou_threshold=0.3, max_outputs=3)

    shards = PartitionSpec("data")
    mapped = jax.shard_map(run, mesh=mesh, in_specs=shards, out_specs=shards)
    kept = jax.jit(mapped)(jnp.array([0.9, 0.8, 0.7]))
    assert greedy.indices_of(kept) == [0, 2]


def test_overlaps_of_short_dtypes_are_not_rounded_to_them():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        # The overlap 200 / 201 = 0.9950 is 0.9961 in bfloat16.
        boxes = jnp.asarray([[0, 0, 201, 1], [0, 0, 200, 1]], jnp.bfloat16)
        scores = jnp.asarray([0.5, 0.7], jnp.bfloat16)
        groups = jnp.zeros(2, jnp.int8)
        kept = functools.partial(kept_of, boxes, scores, groups=groups)
        assert kept(iou_threshold=0.9945) == [1]
        assert kept(iou_threshold=0.9955) == [1, 0]


@pytest.mark.usefixtures("way")
def test_nothing_flows_back_through_the_choice():
    def loss(coordinates, scores):
        boxes = Boxes(coordinates, jnp.ones(3, bool))
        kept = nms(boxes, scores, iou_threshold=0.3, max_outputs=3)
        return jnp.sum(jnp.where(kept.valid, scores[kept.indices], 0))

    with jax.debug_nans(True):
        gradients = jax.grad(loss, (0, 1))(
            jnp.asarray(CHAIN), jnp.array([0.9, 0.8, 0.7])
        )
    np.testing.assert_array_equal(gradients[0], np.zeros((3, 4)))
    np.testing.assert_array_equal(gradients[1], [1, 0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iou_threshold": 1.5}, r"`iou_threshold` must lie in \[0, 1\], got 1.5"),
        ({"max_outputs": 0}, "`max_outputs` must be positive, got 0"),
        ({"scores": np.zeros(4)}, r"`scores` must have shape \(3,\), .* got \(4,\)"),
        ({"scores": np.zeros(3, int)}, "`scores` must be of a floating dtype, got int"),
        ({"groups": np.zeros(2, int)}, r"`groups` must have shape .* got \(2,\)"),
        (
            {"boxes": Boxes(jnp.zeros((2, 3, 4)), jnp.ones((2, 3), bool))},
            r"`boxes` must have coordinates of shape \(N, 4\), got \(2, 3, 4\)",
        ),
        (
            {"boxes": Boxes(jnp.zeros((3, 4)), jnp.ones(2, bool))},
            r"`boxes.valid` must be Boolean of shape \(3,\), .* of shape \(2,\)",
        ),
        (
            {"boxes": Boxes(jnp.zeros((3, 4)), jnp.ones(3))},
            r"`boxes.valid` must be Boolean of .* got float32",
        ),
        ({"boxes": jnp.zeros((3, 4))}, "`boxes` must be `Boxes`, got Array"),
        ({"boxes": Boxes(np.zeros((3, 4), int), np.ones(3, bool))}, "must be floating"),
        ({"groups": np.zeros(3)}, "`groups` must be of an integer dtype, got float"),
        ({"iou_threshold": float("nan")}, r"`iou_threshold` must .* got nan"),
        ({"iou_threshold": "0.5"}, r"`iou_threshold` must lie in .* got '0.5'"),
        ({"max_outputs": 2.5}, "`max_outputs` must be an integer, got 2.5"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {
        "boxes": Boxes(jnp.asarray(CHAIN), jnp.ones(3, bool)),
        "scores": np.zeros(3, np.float32),
        "iou_threshold": 0.5,
        "max_outputs": 3,
        **change,
    }
    with pytest.raises(RefusedError, match=message):
        nms(**arguments)


def random_boxes(rng, count):
    corners = rng.integers(0, 12, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 9, (count, 2))], axis=1)
    return boxes.astype(np.float32)
