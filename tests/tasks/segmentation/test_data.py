"""Batches of segmented photographs."""

import dataclasses
import json
import logging
from typing import Any

import jax
import numpy as np
import pytest

from carafe_jax.data import TooManyUnreadableImagesError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation import photographs as module
from carafe_jax.tasks.segmentation.data import SegmentationData, SegmentationDataset
from carafe_jax.tasks.segmentation.held_out_examples import padded_label_size
from carafe_jax.tasks.segmentation.photographs import prepare_photograph
from carafe_jax.tasks.segmentation.views import Views
from tests.tasks.segmentation.memory_source import CLASSES, MemorySource, labels_of

LANDSCAPE, PORTRAIT = (60, 80), (80, 60)
TRAINING = MemorySource((LANDSCAPE,) * 5 + (PORTRAIT,) * 3)
HELD_OUT = MemorySource((LANDSCAPE, (30, 40), PORTRAIT, LANDSCAPE, (70, 90)))


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """Open sources in memory, which tests may replace."""
    opened = {"train": TRAINING, "test": HELD_OUT}

    def open_images(source, *, split, classes, **options):
        assert classes == (CLASSES if split == "test" else None)
        return opened[split]

    monkeypatch.setattr(module, "open_segmented_images", open_images)
    return opened


def make(**fields: Any) -> SegmentationDataset:
    values: dict[str, Any] = {
        "batch_size": 2,
        "short_sides": (30, 45),
        "test_short_side": 40,
        "long_side": 100,
        "read_threads": 0,
        "flips": "none",
        **fields,
    }
    return SegmentationDataset(SegmentationData(source="memory", **values))


def take(iterator, count) -> list[Any]:
    return [next(iterator) for _ in range(count)]


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for one, other in zip(batches, expected, strict=True):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def visited(batch) -> list[int]:
    """Return the photographs with labels, which their red values name."""
    labelled = (batch["label"] != 255).any((1, 2))
    return batch["image"][labelled, 0, 0, 0].tolist()


def test_training_batches_have_the_arrays_of_their_bucket():
    sizes = set()
    for batch in take(make().training_batches(), 20):
        _, height, width, _ = batch["image"].shape
        sizes.add((height, width))
        assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
            "image": ((2, height, width, 3), np.uint8),
            "image_size": ((2, 2), np.int32),
            "label": ((2, height, width), np.uint8),
        }
        (h, w), other = batch["image_size"].tolist()
        assert [h, w] == other
        assert (h, w) in {(30, 40), (40, 30), (45, 60), (60, 45)}
        for name, value in (("image", 0), ("label", 255)):
            assert (batch[name][:, h:] == value).all()
            assert (batch[name][:, :, w:] == value).all()
        label = batch["label"][0]
        assert (label[: h // 2, : w // 2 - 1] == 0).all()
        assert (label[: h // 2, w // 2 + 1 : w] == 1).all()
        assert (label[h - 1] == 255).all()
    assert sizes == {(32, 64), (64, 32), (64, 64)}


def test_each_epoch_visits_every_photograph_once_in_another_order():
    for fields in ({}, {"crop_size": (32, 32)}):
        dataset = make(**fields)
        steps = dataset.steps_per_epoch()
        assert steps == (4 if fields else 5)
        batches = dataset.training_batches()
        epochs = []
        for _ in range(3):
            epoch = [i for batch in take(batches, steps) for i in visited(batch)]
            assert sorted(epoch) == list(range(8))
            epochs.append(epoch)
        assert epochs[0] != epochs[1] != epochs[2]


def test_incomplete_batches_are_filled_with_photographs_without_labels():
    batches = take(make().training_batches(), 5)
    filled = [batch for batch in batches if len(visited(batch)) == 1]
    assert len(filled) == 2
    for batch in filled:
        assert batch["image"][1].any()
        assert (batch["label"][1] == 255).all()


@pytest.mark.parametrize(
    "fields", [{}, {"crop_size": (32, 64), "rotation": 10.0, "blur": "gaussian"}]
)
def test_sequence_depends_on_the_data_alone(fields):
    fields = {"flips": "both", **fields}
    expected = take(make(**fields).training_batches(), 8)
    again = make(read_threads=3, prefetch_batches=2, **fields)
    assert_same(take(again.training_batches(), 8), expected)
    shards = [
        take(make(**fields).training_batches(process_index=i, process_count=2), 8)
        for i in range(2)
    ]
    joined = [
        {name: np.concatenate([one[name], two[name]]) for name in one}
        for one, two in zip(*shards, strict=True)
    ]
    assert_same(joined, expected)
    iterator = make(**fields).training_batches()
    take(iterator, 3)
    resumed = make(**fields).training_batches()
    resumed.set_state(json.loads(json.dumps(iterator.get_state())))
    assert_same(take(resumed, 5), expected[3:])
    with pytest.raises(AssertionError):
        assert_same(take(make(seed=1, **fields).training_batches(), 8), expected)


@pytest.mark.weekly
def test_worker_processes_make_the_same_batches():
    expected = take(make(flips="both").training_batches(), 5)
    workers = make(flips="both", worker_processes=2, read_threads=1)
    iterator = workers.training_batches()
    iterator.set_state({"batches": 2})
    assert_same(take(iterator, 3), expected[2:])


def test_short_sides_are_drawn_equally_often():
    batches = take(make(batch_size=1).training_batches(), 200)
    large = sum(batch["image_size"].min() == 45 for batch in batches)
    assert 70 < large < 130


@pytest.mark.parametrize(("flips", "count"), [("none", 1), ("horizontal", 2)])
def test_labels_are_flipped_with_their_photographs(flips, count):
    seen = set()
    for batch in take(make(flips=flips).training_batches(), 20):
        for image, label, (h, w) in zip(
            batch["image"], batch["label"], batch["image_size"], strict=True
        ):
            flipped = bool(image[0, 0, 2] > image[0, w - 1, 2])
            seen.add(flipped)
            if (label != 255).any():
                assert label[0, 0] == flipped
            assert label[h - 1, 0] == 255
    assert len(seen) == count


def test_labels_are_rotated_with_their_photographs():
    rotated = 0
    for batch in take(make(rotation=20.0, batch_size=1).training_batches(), 20):
        (h, w), index = batch["image_size"][0], int(batch["image"][0, 9, 9, 0])
        image, label = batch["image"][0, :h, :w].astype(int), batch["label"][0, :h, :w]
        outside = (image == (124, 116, 104)).all(-1)  # The mean colour.
        rotated += outside.any()
        assert (label[outside] == 255).all()
        # Red is the index of the photograph, and blue counts its columns.
        from_middle = image[..., 2] - TRAINING.size(index)[1] / 2
        known = (label != 255) & (image[..., 0] == index) & (np.abs(from_middle) > 2)
        assert known.mean() > 0.4
        np.testing.assert_array_equal(label[known], from_middle[known] > 0)
    assert 4 < rotated < 16


def test_half_the_photographs_are_blurred():
    sharp = take(make(batch_size=1).training_batches(), 20)
    blurred = take(make(batch_size=1, blur="gaussian").training_batches(), 20)
    changes = [
        np.abs(one["image"] - other["image"].astype(int)).max()
        for one, other in zip(sharp, blurred, strict=True)
    ]
    assert 4 < np.count_nonzero(changes) < 16
    assert max(changes) < 5  # The colours are ramps.
    assert_same(
        [{"label": x["label"]} for x in blurred], [{"label": x["label"]} for x in sharp]
    )


def test_vertical_flips_move_the_bottom_to_the_top():
    batches = take(make(flips="both", batch_size=1).training_batches(), 40)
    tops = [(b["label"][0, 0] == 255).all() for b in batches]
    assert 8 < sum(tops) < 32
    for batch, top in zip(batches, tops, strict=True):
        assert (batch["image"][0, 0, 0, 1] > 30) == top


def test_crops_have_one_size_and_random_scale():
    dataset = make(crop_size=(64, 32), crop_scales=(0.5, 2.0))
    heights = set()
    for batch in take(dataset.training_batches(), 20):
        assert batch["image"].shape == (2, 64, 32, 3)
        assert batch["label"].shape == (2, 64, 32)
        for image, (h, w) in zip(batch["image"], batch["image_size"], strict=True):
            heights.add(int(h))
            assert w <= 32
            assert not image[h:].any()
    # Photographs at a scale below 1 are smaller than the crop, and padded.
    assert min(heights) < 60
    assert max(heights) == 64


def test_unreadable_photographs_are_replaced_in_their_bucket(sources, caplog):
    sources["train"] = dataclasses.replace(TRAINING, damaged=frozenset({1, 6}))
    for batch in take(make().training_batches(), 10):
        assert not {1, 6} & {*batch["image"][:, 0, 0, 0].tolist()}
    assert "Skipped an unreadable image" in caplog.text
    sources["train"] = dataclasses.replace(TRAINING, damaged=frozenset(range(5)))
    blank = [b for b in take(make().training_batches(), 5) if not visited(b)]
    assert len(blank) == 3
    # All padding: no black pixel in the statistics of batch norms.
    assert not any(b["image_size"].any() for b in blank)
    sources["train"] = dataclasses.replace(TRAINING, damaged=frozenset(range(8)))
    with pytest.raises(RefusedError, match="must have readable images"):
        make().check_readable()
    with pytest.raises(TooManyUnreadableImagesError):
        take(make(unreadable_limit=2).training_batches(), 1)


@pytest.mark.parametrize("count", [1, 2])
def test_whole_test_set_is_seen_once_in_its_own_size(sources, count):
    sources["test"] = dataclasses.replace(HELD_OUT, damaged=frozenset({3}))
    found: dict[int, Any] = {}
    for process in range(count):
        batches: Any = make().test_batches(process_index=process, process_count=count)
        for batch in batches:
            assert len(batch["index"]) == 2 // count
            for place in np.flatnonzero(batch["valid"]):
                example = jax.tree.map(lambda x, place=place: x[place], dict(batch))
                found[int(example["index"])] = example
            for place in np.flatnonzero(~batch["valid"]):
                assert (batch["label"][place] == 255).all()
    assert sorted(found) == [0, 1, 2, 4]
    for index, example in found.items():
        height, width = HELD_OUT.size(index)
        assert example["label_size"].tolist() == [height, width]
        np.testing.assert_array_equal(
            example["label"][:height, :width], labels_of((height, width))
        )
        assert (example["label"][height:] == 255).all()
        assert (example["label"][:, width:] == 255).all()
        # 40 pixels are rounded up to 64, and 53 as well.
        (image,) = example["images"]
        assert image.shape == (64, 64, 3)
        assert image[..., 0].min() == index


def test_photographs_of_one_size_share_batches():
    shapes = [
        (batch["images"][0].shape, batch["label"].shape)
        for batch in make().test_batches()
    ]
    assert shapes == [
        ((2, 64, 64, 3), (2, 64, 64)),
        ((2, 64, 64, 3), (2, 64, 96)),
        ((2, 64, 64, 3), (2, 96, 64)),
        ((2, 64, 64, 3), (2, 96, 96)),
    ]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 64), (64, 64)),
        ((65, 97), (96, 128)),
        ((512, 683), (512, 768)),
        ((1600, 1200), (2048, 1536)),
    ],
)
def test_label_maps_have_few_sizes(size, expected):
    assert padded_label_size(Size(*size)) == expected


def test_contents_and_padding_are_reported(caplog):
    dataset = make()
    assert dataset.contents == (CLASSES, 8, 5)
    with caplog.at_level(logging.INFO):
        dataset.check_readable()
    # (1200 + 2700) / (32 * 64 + 64 * 64)
    assert "in 2 buckets of similar aspect, with batches of 3 sizes: 36.5 %" in (
        caplog.text
    )


def test_photographs_without_pixels_are_refused():
    with pytest.raises(RefusedError, match="at least one pixel"):
        prepare_photograph(np.zeros((0, 3, 3), np.uint8), make().data, Views())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"short_sides": ()}, "`short_sides` must be one or more positive ints"),
        ({"short_sides": (300, 0)}, "`short_sides` must be one or more positive ints"),
        ({"long_side": 44}, "`long_side` must be at least the largest short side, 45"),
        ({"test_short_side": 0}, "`test_short_side` must be positive"),
        ({"test_split": "dev"}, "`test_split` must be one of 'val', 'validation'"),
        ({"buckets": 0}, "`buckets` must be positive"),
        ({"crop_size": (512, 500)}, "`crop_size` must be two positive multiples of 32"),
        ({"crop_size": (32,)}, r"`crop_size` must be two .* or None, got \(32,\)"),
        ({"crop_scales": (0.0, 1.0)}, "`crop_scales` must have positive"),
        ({"crop_scales": (0.7, 1.6)}, "`crop_scales` must be .* without `crop_size`"),
        ({"crop_scales": (2.0, 1.0)}, "`crop_scales` must be two finite"),
        ({"ignored_labels": (256,)}, "`ignored_labels` must be ints in"),
        ({"ignored_labels": 5}, r"`ignored_labels` must be ints in \[0, 255\], got 5"),
        ({"rotation": -1.0}, r"`rotation` must lie in \[0, 180\], got -1.0"),
        ({"rotation": True}, r"`rotation` must lie in \[0, 180\], got True"),
        ({"blur": "box"}, "`blur` must be one of 'none', 'gaussian'"),
        ({"batch_size": 0}, "`batch_size` must be positive"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(RefusedError, match=message):
        make(**fields)


def test_numbers_of_numpy_are_accepted():
    fields: Any = {"rotation": np.float32(10), "ignored_labels": (np.uint8(3),)}
    assert SegmentationData(source="none", **fields).rotation == 10
