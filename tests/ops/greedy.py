"""Greedy suppression as a loop over lists, in NumPy."""

import numpy as np


def kept_of(suppresses, candidates):
    """Go down the list; a box is kept if none that is kept suppresses it."""
    kept: list[int] = []
    for j in np.flatnonzero(candidates):
        if not any(suppresses[i, j] for i in kept):
            kept.append(int(j))
    return kept


def overlap(box, other):
    """Return the intersection over union, with one rounding to float32 at the end."""
    box, other = np.asarray(box, np.float64), np.asarray(other, np.float64)
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    common = np.prod(np.maximum(sides, 0))
    union = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - common
    return np.float32(common / union) if union else np.float32(0)


def nms(boxes, scores, *, valid, iou_threshold, groups=None):
    """Return the indices of all boxes that are kept, by descending score."""
    # NumPy's stable sort of descending scores: of equal ones, the lower index first.
    order = [i for i in np.argsort(-np.asarray(scores), kind="stable") if valid[i]]
    groups = np.zeros(len(boxes)) if groups is None else groups
    threshold = np.float32(iou_threshold)
    suppresses = np.array(
        [
            [
                groups[i] == groups[j] and overlap(boxes[i], boxes[j]) > threshold
                for j in order
            ]
            for i in order
        ]
    )
    kept = kept_of(suppresses, np.ones(len(order), bool))
    return [int(order[rank]) for rank in kept]


def indices_of(kept):
    """Return the indices of a result without its padding, which must come last."""
    indices, valid = np.asarray(kept.indices), np.asarray(kept.valid)
    assert np.array_equal(valid, np.arange(len(valid)) < valid.sum())
    assert not indices[~valid].any()
    return indices[valid].tolist()
