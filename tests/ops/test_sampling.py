"""Sampling of positives and negatives, against mmdetection's and a direct rule."""

import functools
from typing import Any

import chex
import jax
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import (
    Matches,
    encode_boxes,
    prepend_targets,
    random_sampler,
    sample_boxes,
    strided_sampler,
)
from tests import detection_goldens as goldens

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

drawn = settings(max_examples=20, deadline=None, derandomize=True, database=None)
N, LIMIT = 24, 8
CANDIDATES = st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)
COUNTS = st.integers(min_value=0, max_value=LIMIT)
SEEDS = st.integers(min_value=0, max_value=2**31)
MOST_ANCHORS = 4092
JITTED_PREPEND = jax.jit(prepend_targets)
JITTED_ENCODE = jax.jit(encode_boxes, static_argnames="stds")
SAMPLERS = {"random": random_sampler, "strided": strided_sampler}


@functools.cache
def jitted(kind):
    return jax.jit(functools.partial(SAMPLERS[kind], limit=LIMIT))


@functools.cache
def jitted_sample_boxes(count, fraction, kind="strided"):
    return jax.jit(
        functools.partial(
            sample_boxes,
            count=count,
            positive_fraction=fraction,
            sampler=SAMPLERS[kind],
        )
    )


def key_of(seed):
    # The generator of tests is another; this one is JAX's default.
    return jax.random.key(seed, impl="threefry2x32")


def strided(candidates, count):
    """Return the indices that the rule chooses."""
    (indices,) = np.nonzero(candidates)
    if len(indices) <= count:
        return indices
    return indices[(np.arange(count) * len(indices) + len(indices) - 1) // count]


def matches_of(inds):
    """Return matches of mmdetection's indices; those below 0 are ignored."""
    inds = np.asarray(inds, np.int32)
    overlaps = np.zeros(inds.shape, np.float32)
    # Any: arrays of JAX in use; those of NumPy compile nothing.
    arrays: Any = np.maximum(inds - 1, 0), inds > 0, inds == 0, overlaps
    return Matches(*arrays)


def check_samples(samples, positives, negatives):
    samples = jax.device_get(samples)
    expected = np.concatenate([positives, negatives])
    padding = len(samples.indices) - len(expected)
    np.testing.assert_array_equal(samples.indices, np.pad(expected, (0, padding)))
    slots = np.arange(len(samples.indices))
    np.testing.assert_array_equal(samples.valid, slots < len(expected))
    np.testing.assert_array_equal(samples.positive, slots < len(positives))


@pytest.mark.parametrize("kind", SAMPLERS)
@drawn
@given(seed=SEEDS, candidates=CANDIDATES, count=COUNTS)
def test_exactly_count_candidates_are_chosen_or_all(kind, seed, candidates, count):
    chosen = jitted(kind)(key_of(seed), candidates, count=count)
    assert np.sum(chosen) == min(count, candidates.sum())
    assert not np.any(chosen & ~candidates)


@drawn
@given(candidates=CANDIDATES, count=COUNTS)
def test_strided_sampler_follows_its_rule(candidates, count):
    chosen = jitted("strided")(key_of(0), candidates, count=count)
    np.testing.assert_array_equal(np.nonzero(chosen)[0], strided(candidates, count))


@pytest.mark.parametrize("kind", SAMPLERS)
@drawn
@given(seed=SEEDS, candidates=CANDIDATES, count=COUNTS)
def test_entries_that_are_no_candidates_change_nothing(kind, seed, candidates, count):
    places = np.random.default_rng(seed).permutation(N + 7)[:N]
    more = np.zeros(N + 7, bool)
    more[np.sort(places)] = candidates
    chosen = jitted(kind)(key_of(seed), candidates, count=count)
    of_more = jitted(kind)(key_of(seed), more, count=count)
    np.testing.assert_array_equal(np.asarray(of_more)[np.sort(places)], chosen)


def test_random_sampler_gives_all_candidates_the_same_chance():
    candidates, draws = np.arange(N) % 2 == 0, 4000
    keys = jax.random.split(key_of(0), draws)
    sampler = functools.partial(jitted("random"), candidates=candidates, count=3)
    chosen = jax.jit(jax.vmap(sampler))(keys)
    # Five standard deviations.
    chance = 3 / 12
    atol = 5 * (chance * (1 - chance) / draws) ** 0.5
    rate = np.mean(np.float64(chosen), axis=0)
    np.testing.assert_allclose(rate, chance * candidates, rtol=0, atol=atol)


def test_random_sampler_depends_on_the_key():
    candidates = np.ones(N, bool)
    first, again, second = (
        jitted("random")(key_of(seed), candidates, count=5) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != second)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_limit_above_the_number_of_entries_is_allowed(kind):
    candidates = np.array([True, False, True])
    chosen = jitted(kind)(key_of(0), candidates, count=LIMIT)
    np.testing.assert_array_equal(chosen, candidates)


@drawn
@given(
    inds=st.lists(st.integers(min_value=-1, max_value=2), min_size=N, max_size=N),
    seed=SEEDS,
)
def test_positives_come_first_then_negatives_then_padding(inds, seed):
    matches = matches_of(inds)
    positives = strided(matches.positive, 4)
    negatives = strided(matches.negative, 16 - len(positives))
    check_samples(
        jitted_sample_boxes(16, 0.25)(key_of(0), matches), positives, negatives
    )
    samples = jitted_sample_boxes(16, 0.25, "random")(key_of(seed), matches)
    indices, valid = np.asarray(samples.indices), np.asarray(samples.valid)
    first, rest = indices[: len(positives)], indices[len(positives) : valid.sum()]
    assert np.all(matches.positive[first])
    assert np.all(matches.negative[rest])
    assert np.all(np.diff(first) > 0)
    assert np.all(np.diff(rest) > 0)
    chex.assert_trees_all_equal(
        (samples.valid, samples.positive),
        jitted_sample_boxes(16, 0.25)(key_of(0), matches)[1:],
    )


@pytest.mark.parametrize("kind", SAMPLERS)
def test_padding_of_targets_and_boxes_changes_which_boxes_only_by_their_index(kind):
    inds = np.random.default_rng(3).integers(-1, 3, N)
    padded = np.concatenate([inds[:5], [-1, -1], inds[5:], [-1]])
    old_index = np.concatenate([np.arange(5), [0, 0], np.arange(5, N), [0]])
    sample = jitted_sample_boxes(16, 0.5, kind)
    samples = sample(key_of(1), matches_of(inds))
    more = sample(key_of(1), matches_of(padded))
    chex.assert_trees_all_equal(
        jax.device_get(more)._replace(indices=old_index[more.indices]),
        jax.device_get(samples),
    )


def test_without_candidates_all_slots_are_padding():
    check_samples(jitted_sample_boxes(16, 0.5)(key_of(0), matches_of([-1] * N)), [], [])


def test_a_fraction_of_zero_samples_negatives_alone():
    inds = np.arange(N) % 2
    samples = jitted_sample_boxes(16, 0.0)(key_of(0), matches_of(inds))
    check_samples(samples, [], strided(inds == 0, 16))


def test_vmap_samples_each_image_as_alone():
    keys = jax.random.split(key_of(5), 3)
    matches = matches_of(np.random.default_rng(2).integers(-1, 2, (3, N)))
    sample = jitted_sample_boxes(16, 0.5, "random")
    alone = [sample(keys[i], Matches(*(x[i] for x in matches))) for i in range(3)]
    chex.assert_trees_all_equal(
        jax.jit(jax.vmap(sample))(keys, matches),
        jax.tree.map(lambda *x: np.stack(x), *alone),
    )


@pytest.mark.parametrize("name", goldens.CASES)
def test_samples_of_anchors_equal_those_of_the_detectors(name):
    arrays = goldens.load(name)
    sample = jitted_sample_boxes(*fields_of(name, "rpn"))
    for image in goldens.images_of(name):
        inds, positives, negatives, targets = (
            arrays[f"train/rpn/{image}/{array}"]
            for array in (
                "assigned_gt_inds",
                "pos_inds",
                "neg_inds",
                "pos_assigned_gt_inds",
            )
        )
        # One compilation for all detectors.
        inds = np.pad(inds, (0, MOST_ANCHORS - len(inds)), constant_values=-1)
        matches = matches_of(inds)
        check_samples(sample(key_of(0), matches), positives, negatives)
        np.testing.assert_array_equal(matches.targets[positives], targets)


@pytest.mark.parametrize(("name", "dtype"), goldens.CASES_AND_DTYPES)
def test_deltas_of_sampled_anchors_agree_with_the_detectors(name, dtype):
    arrays = goldens.load(name)
    for image in goldens.images_of(name):
        sampled = arrays[f"train/rpn/{image}/pos_inds"]
        matched = arrays[f"train/rpn/{image}/pos_assigned_gt_inds"]
        targets = arrays[f"gt/{image}/bboxes"][matched]
        anchors = arrays["ref64_test/anchors"][sampled]
        goldens.check_close(
            deltas_of(targets, anchors, stds=(1.0, 1.0, 1.0, 1.0), dtype=dtype),
            arrays["ref64_train/rpn/bbox_targets"][image][sampled],
            name=name,
            stage="train/rpn/bbox_targets",
        )


@pytest.mark.parametrize("name", goldens.CASES)
def test_samples_of_proposals_equal_those_of_the_detectors(name):
    arrays = goldens.load(name)
    sample = jitted_sample_boxes(*fields_of(name, "rcnn"))
    for image in goldens.images_of(name):
        matches, index_of = matches_of_targets_and_proposals(name, image)
        positives, negatives, targets = (
            arrays[f"train/rcnn/{image}/{array}"]
            for array in ("pos_inds", "neg_inds", "pos_assigned_gt_inds")
        )
        samples = sample(key_of(0), matches)
        check_samples(samples, index_of(positives), index_of(negatives))
        np.testing.assert_array_equal(matches.targets[index_of(positives)], targets)


@pytest.mark.parametrize(("name", "dtype"), goldens.CASES_AND_DTYPES)
def test_deltas_of_sampled_proposals_agree_with_the_detectors(name, dtype):
    arrays = goldens.load(name)
    of_batch = []
    for image in goldens.images_of(name):
        priors = arrays[f"ref64_train/rcnn/{image}/priors"]
        matched = arrays[f"train/rcnn/{image}/pos_assigned_gt_inds"]
        targets, positives = (
            arrays[f"gt/{image}/bboxes"][matched],
            priors[: len(matched)],
        )
        deltas = deltas_of(targets, positives, stds=(0.1, 0.1, 0.2, 0.2), dtype=dtype)
        of_batch.append(np.pad(deltas, ((0, len(priors) - len(deltas)), (0, 0))))
    goldens.check_close(
        np.concatenate(of_batch),
        arrays["ref64_train/rcnn/bbox_targets"],
        name=name,
        stage="train/rcnn/bbox_targets",
    )


def fields_of(name, part):
    """Return the number of samples and the fraction of positives."""
    fields = goldens.describe(name)["config"]["train_cfg"][part]["sampler"]
    return fields["num"], fields["pos_fraction"]


def matches_of_targets_and_proposals(name, image):
    """Return matches after padded targets, and the place of a box of the reference."""
    arrays = goldens.load(name)
    targets = goldens.targets_of(name, image, dtype=np.float32)
    slots, count = len(targets.valid), len(arrays[f"gt/{image}/bboxes"])
    matches = matches_of(arrays[f"train/rcnn/{image}/assigned_gt_inds"])
    matches = jax.device_get(JITTED_PREPEND(matches, targets))
    return matches, lambda index: np.where(index < count, index, index + slots - count)


def deltas_of(targets, boxes, *, stds, dtype):
    """Return the deltas of a few boxes, encoded in a fixed number of slots."""
    padding = ((0, 80 - len(boxes)), (0, 0))
    with jax.enable_x64(dtype == "float64"):
        deltas = JITTED_ENCODE(
            np.pad(targets.astype(dtype), padding),
            np.pad(boxes.astype(dtype), padding),
            stds=stds,
        )
        return np.asarray(deltas)[: len(boxes)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0, "positive_fraction": 0.5}, "`count` must be positive, got 0"),
        ({"count": 4, "positive_fraction": 1.5}, r"`positive_fraction` must lie in"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(RefusedError, match=message):
        sample_boxes(key_of(0), matches_of([1, 0]), **arguments)
