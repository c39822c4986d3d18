"""Drawn boxes, scores, groups and thresholds: suppression against the loop.

Coordinates are small integers and scores few numbers, so that many boxes are equal,
have no area or the same score, and overlap exactly by the threshold.
"""

import functools
import importlib

import jax
import numpy as np
import pytest

from carafe_jax.ops import Boxes, multiclass_nms, nms
from carafe_jax.ops.suppression import suppress_by_rows, suppress_by_sweeps
from tests.ops import greedy

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

f32 = functools.partial(np.array, dtype=np.float32)
pytestmark = pytest.mark.slow
N, K = 9, 2
BOXES = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    x=st.integers(0, 4),
    y=st.integers(0, 1),
    w=st.integers(0, 4),
    h=st.integers(0, 2),
)
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.75])
THRESHOLDS = st.sampled_from([0, 0.25, 1 / 3, 0.5])


def drawn(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None
    )


def lists(elements, length):
    return st.lists(elements, min_size=length, max_size=length)


@functools.cache
def compiled(way, threshold):
    """Return `nms` compiled, with a way to suppress."""
    module = importlib.import_module("carafe_jax.ops.nms")

    def run(boxes, scores, groups):
        options = {"iou_threshold": threshold, "max_outputs": N}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "suppress", way)
            return nms(boxes, scores, groups=groups, **options)

    return jax.jit(run)


@drawn(80)
@given(
    boxes=lists(BOXES, N),
    scores=lists(SCORES, N),
    valid=lists(st.booleans() | st.just(True), N),
    groups=lists(st.integers(0, 1), N),
    threshold=THRESHOLDS,
)
def test_both_ways_are_greedy(boxes, scores, valid, groups, threshold):
    boxes, scores = f32(boxes), f32(scores)
    valid, groups = np.array(valid), np.int32(groups)
    expected = greedy.nms(
        boxes, scores, valid=valid, groups=groups, iou_threshold=threshold
    )
    for way in (suppress_by_rows, suppress_by_sweeps):
        kept = compiled(way, threshold)(Boxes(boxes, valid), scores, groups)
        assert greedy.indices_of(kept) == expected


@functools.cache
def compiled_multiclass(max_outputs, max_candidates):
    return jax.jit(
        functools.partial(
            multiclass_nms,
            score_threshold=0.1,
            iou_threshold=0.25,
            max_outputs=max_outputs,
            max_candidates=max_candidates,
        )
    )


@drawn(60)
@given(
    boxes=lists(lists(BOXES, K), N),
    scores=lists(lists(SCORES, K), N),
    valid=lists(st.booleans() | st.just(True), N),
    limits=st.sampled_from([(2, 3), (5, 7), (5, N * K)]),
)
def test_complete_detections_are_those_of_all_candidates(boxes, scores, valid, limits):
    boxes, scores, valid = f32(boxes), f32(scores), np.array(valid)
    pairs = greedy.nms(
        boxes.reshape(-1, 4),
        scores.reshape(-1),
        valid=(valid[:, None] & (scores > 0.1)).reshape(-1),
        groups=np.tile(np.arange(K), N),
        iou_threshold=0.25,
    )[: limits[0]]
    run = compiled_multiclass(*limits)
    found = run(boxes, scores, valid=valid)
    count = int(found.valid.sum())
    indices = (found.boxes * K + found.classes)[:count].tolist()
    # The detections of the best candidates always come first in those of all.
    assert indices == pairs[:count]
    assert found.scores[:count].tolist() == scores.reshape(-1)[pairs[:count]].tolist()
    assert count == len(pairs) or not found.complete
