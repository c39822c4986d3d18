"""Prediction in sliding windows, against the rule of semseg in NumPy."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD
from carafe_jax.errors import RefusedError
from carafe_jax.models.segmentation import SegmentationNetwork
from carafe_jax.nn import resize_bilinear
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation import (
    LabelClasses,
    SegmentationData,
    TrainedSegmenter,
)
from carafe_jax.tasks.segmentation.export import export
from carafe_jax.tasks.segmentation.photographs import prepare_photograph
from carafe_jax.tasks.segmentation.sliding_windows import (
    cut_windows,
    window_grid,
)
from carafe_jax.tasks.segmentation.views import Views
from carafe_jax.tasks.segmentation.window_batches import with_window_logits
from tests.tasks.photograph_files import photograph

CLASSES = 3


class Stub(SegmentationNetwork):
    """Logits, at a quarter of the size, of colours and of the place in the image."""

    @nn.compact
    def __call__(self, images, train=False):
        pooled = nn.avg_pool(images, (4, 4), (4, 4), padding="SAME")
        ramp = jnp.linspace(-1, 1, pooled.shape[2])[:, None]
        weights = np.random.default_rng(0).normal(size=(3, CLASSES))
        # Not symmetric, so that mirror images count.
        return pooled @ jnp.asarray(weights, pooled.dtype) + ramp * jnp.arange(CLASSES)


def segmenter_of(**views):
    return TrainedSegmenter(
        network=Stub(nn.Dense(1), CLASSES),
        variables={},
        name="stub",
        dtype="float32",
        align_corners=False,
        classes=LabelClasses(("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (99, 99, 99))),
        data=SegmentationData(
            source="none", short_sides=(32,), test_short_side=64, long_side=96
        ),
        step=7,
        views=Views(**views),
    )


@pytest.mark.parametrize(
    ("side", "window", "before", "starts"),
    [
        (64, 48, 0, [0, 16]),  # The last one ends with the image.
        (112, 48, 0, [0, 32, 64]),  # A multiple of the stride.
        (48, 48, 0, [0]),
        (33, 48, 7, [0]),
        (100, 47, 0, [0, 32, 53]),  # The stride is rounded up.
    ],
)
def test_windows_cover_an_image(side, window, before, starts):
    padded = max(side, window)
    grid = window_grid(Size(side, 5), Size(window, 5))
    assert grid == ((padded, 5), (before, 0), tuple((x, 0) for x in starts))
    grid = window_grid(Size(5, side), Size(5, window))
    assert grid == ((5, padded), (0, before), tuple((0, x) for x in starts))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("size", "fields"),
    [
        # Resized to (64, 96).
        ((60, 90), {"sliding_window": (64, 96)}),
        ((60, 90), {"sliding_window": (40, 33)}),
        ((60, 90), {"sliding_window": (75, 41), "flip": True}),
        # Resized to (96, 64) and (64, 32).
        (
            (70, 40),
            {"sliding_window": (50, 48), "flip": True, "short_sides": (64, 32)},
        ),
    ],
)
def test_label_maps_are_those_of_the_rule(size, fields, align_corners):
    segmenter = dataclasses.replace(segmenter_of(**fields), align_corners=align_corners)
    pixels = photograph(*size)
    expected = rule_of_semseg(segmenter, pixels)
    best = np.sort(expected, -1)
    clear = best[..., -1] - best[..., -2] > 1e-5  # Else float32 may choose either.
    assert clear.mean() > 0.99
    found = segmenter.segment(pixels).labels
    assert len(np.unique(found)) > 1
    np.testing.assert_array_equal(found[clear], expected.argmax(-1)[clear])


def rule_of_semseg(segmenter, pixels):
    """Return the probabilities at the photograph's size."""
    views, total = segmenter.views, 0
    for image in prepare_photograph(pixels, segmenter.data, views):
        normalised = (image - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        total = total + resize_bilinear(
            jnp.asarray(scale_process(segmenter, normalised)[None], jnp.float32),
            size=pixels.shape[:2],
        )
    return np.asarray(total)[0]


def scale_process(segmenter, image):
    height, width, _ = image.shape
    rows, columns = segmenter.views.sliding_window
    above, left = max(rows - height, 0) // 2, max(columns - width, 0) // 2
    padded = np.zeros((max(height, rows), max(width, columns), 3))
    padded[above : above + height, left : left + width] = image
    total = np.zeros((*padded.shape[:2], CLASSES))
    covered = np.zeros((*padded.shape[:2], 1))
    row_stride, column_stride = math.ceil(rows * 2 / 3), math.ceil(columns * 2 / 3)
    for i in range(math.ceil((padded.shape[0] - rows) / row_stride) + 1):
        for j in range(math.ceil((padded.shape[1] - columns) / column_stride) + 1):
            bottom = min(i * row_stride + rows, padded.shape[0])
            right = min(j * column_stride + columns, padded.shape[1])
            window = np.s_[bottom - rows : bottom, right - columns : right]
            found = net_process(segmenter, padded[window])
            if segmenter.views.flip:
                mirrored = net_process(segmenter, padded[window][:, ::-1])
                found = (found + mirrored[:, ::-1]) / 2
            total[window] += found
            covered[window] += 1
    mean = total / covered
    return mean[above : above + height, left : left + width]


def net_process(segmenter, window):
    logits = segmenter.network.apply({}, jnp.asarray(window[None], jnp.float32))
    resized = resize_bilinear(
        logits, size=window.shape[:2], align_corners=segmenter.align_corners
    )
    return np.asarray(jax.nn.softmax(resized))[0]


def test_photographs_of_all_sizes_share_a_program_of_the_network():
    segmenter = segmenter_of(sliding_window=(40, 33))
    arrays = [photograph(*size) for size in [(60, 90), (90, 60), (9, 50), (64, 64)]]
    found: Any = list(segmenter.segment_all(arrays, batch_size=2))
    assert segmenter._windows._cache_size() == 1
    for each, array in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(each.labels, segmenter.segment(array).labels)


def test_logits_are_those_of_the_windows_of_each_photograph():
    rng, window = np.random.default_rng(0), Size(24, 24)
    images = [
        rng.integers(0, 256, (3, *size, 3), np.uint8) for size in [(40, 50), (20, 30)]
    ]
    batch = {"images": tuple(images), "label_size": np.zeros((3, 2), np.int32)}

    def pixels_of(windows):
        first, *others = windows  # All before the first result.
        for each in (first, *others):
            assert len(each["image"]) == 5
            yield each["image"][:, None]

    parts = list(
        with_window_logits(
            [batch, batch],
            pixels_of,
            window=window,
            windows_at_once=5,
            photographs_at_once=2,
        )
    )
    assert [len(part["label_size"]) for part in parts] == [2, 1, 2, 1]
    for part in parts:
        for logits, views in zip(part["logits"], part["images"], strict=True):
            for found, image in zip(logits, views, strict=True):
                np.testing.assert_array_equal(found[:, 0], cut_windows(image, window))


def test_windows_of_examples_that_are_not_valid_are_not_segmented():
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3), np.uint8)
    batch = {
        "images": (images,),
        "label_size": np.zeros((4, 2), np.int32),
        "index": np.arange(4),
        "valid": np.array([True, False, True, False]),
    }
    seen = 0

    def pixels_of(windows):
        nonlocal seen
        for each in windows:
            seen += len(each["image"])
            yield each["image"][:, None]

    parts = with_window_logits(
        [batch, {**batch, "valid": np.zeros(4, np.bool_)}],
        pixels_of,
        window=Size(24, 24),
        windows_at_once=1,
        photographs_at_once=4,
    )
    (part,) = parts
    assert part["index"].tolist() == [0, 2]
    assert seen == 2 * len(cut_windows(images[0], Size(24, 24)))


def test_label_maps_of_windows_have_another_provenance():
    own = segmenter_of().provenance()
    windowed = segmenter_of(sliding_window=(40, 33)).provenance()
    assert windowed == {**own, "sliding_window": [40, 33]}


def test_window_must_be_two_sides():
    side: Any = (40,)
    with pytest.raises(
        RefusedError, match=r"`sliding_window` must be 2 positive ints, got \(40,\)"
    ):
        Views(sliding_window=side)


def test_programs_with_windows_are_not_exported():
    with pytest.raises(
        RefusedError, match=r"sliding_window` must be None, .* got \(40, 33\)"
    ):
        export(segmenter_of(sliding_window=(40, 33)))
