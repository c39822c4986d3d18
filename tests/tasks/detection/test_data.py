"""Batches of annotated photographs."""

import dataclasses
import json
import logging
import pickle
from typing import Any

import numpy as np
import pytest

from carafe_jax.data import TooManyUnreadableImagesError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection import data as module
from carafe_jax.tasks.detection.data import DetectionData, DetectionDataset
from carafe_jax.tasks.image_size import Size
from tests.tasks.detection.memory_source import (
    MemorySource,
    Photograph,
    objects_of,
    photograph,
)

LANDSCAPE, PORTRAIT, WIDE = (40, 60), (60, 40), (33, 100)


def source_of(*sizes, **fields) -> MemorySource:
    """Return photographs whose red value is their index."""
    photographs = [photograph(size, red=i, seed=i) for i, size in enumerate(sizes)]
    return MemorySource(tuple(photographs), **fields)


TRAINING = source_of(*[LANDSCAPE] * 5, *[PORTRAIT] * 3, WIDE)
HELD_OUT = source_of(*[LANDSCAPE] * 3, *[PORTRAIT] * 2, (1, 1), (64, 64))


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """Open sources in memory, which tests may replace."""
    opened = {"train": TRAINING, "test": HELD_OUT}

    def open_images(source, *, split, masks, classes=None, **options):
        return opened[split]

    monkeypatch.setattr(module, "open_annotated_images", open_images)
    return opened


def make(*, masks: bool = True, **fields: Any) -> DetectionDataset:
    values: dict[str, Any] = {
        "batch_size": 2,
        "short_side": 60,
        "long_side": 190,
        "bucket_aspects": (2.0,),
        "max_objects": 4,
        "read_threads": 0,
        "flips": "none",
        **fields,
    }
    return DetectionDataset(DetectionData(source="memory", **values), masks)


def take(iterator, count) -> list[Any]:
    return [next(iterator) for _ in range(count)]


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for one, other in zip(batches, expected, strict=True):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def weighted(batch) -> list[int]:
    """Return the photographs with weight, which their red values name."""
    return batch["image"][batch["weight"] > 0, 0, 0, 0].tolist()


def replaced(source: MemorySource, *damaged: int, **fields) -> MemorySource:
    """Return the source with damaged photographs, or with other objects in them."""
    values = fields or {"content": b"no image"}
    photographs = [
        dataclasses.replace(each, **values) if i in damaged else each
        for i, each in enumerate(source.photographs)
    ]
    return MemorySource(tuple(photographs))


def test_test_set_of_a_trained_detector_needs_no_training_photographs(sources):
    del sources["train"]
    with pytest.raises(KeyError):
        make().test_batches()
    dataset = dataclasses.replace(make(), classes=("ant", "bee"))
    valid = [batch["valid"].sum() for batch in dataset.test_batches()]
    assert sum(valid) == len(HELD_OUT)


def test_training_batches_have_the_arrays_of_their_bucket():
    dataset = make()
    sizes = set()
    for batch in take(dataset.training_batches(), 8):
        _, height, width, _ = batch["image"].shape
        sizes.add((height, width))
        expected = {
            "image": ((2, height, width, 3), np.uint8),
            "image_size": ((2, 2), np.int32),
            "padded_size": ((2, 2), np.int32),
            "box": ((2, 4, 4), np.float32),
            "object": ((2, 4), np.bool_),
            "label": ((2, 4), np.int32),
            "masks": ((2, 4, height, width // 8), np.uint8),
            "weight": ((2,), np.float32),
        }
        assert {k: (v.shape, v.dtype) for k, v in batch.items()} == expected
        assert batch["object"].sum(-1).tolist() == [3, 3]
        assert not batch["box"][~batch["object"]].any()
        assert not batch["masks"][~batch["object"]].any()
        for i, (h, w) in enumerate(batch["image_size"]):
            assert not batch["image"][i, h:].any()
            assert not batch["image"][i, :, w:].any()
            assert (batch["padded_size"][i] <= [height, width]).all()
            masks = np.unpackbits(batch["masks"][i], axis=-1)
            assert masks.any((1, 2)).tolist() == [True] * 3 + [False]
    assert sizes == {(64, 128), (128, 64), (64, 192)}


def test_batches_without_masks_do_not_have_them():
    (batch,) = take(make(masks=False).training_batches(), 1)
    assert "masks" not in batch


@pytest.mark.parametrize("crop_size", [None, 64])
def test_each_epoch_visits_every_photograph_once_in_another_order(crop_size):
    dataset = make(crop_size=crop_size)
    steps = dataset.steps_per_epoch()
    assert steps == (5 if crop_size else 6)
    batches = dataset.training_batches()
    epochs = []
    for _ in range(3):
        visited = []
        for batch in take(batches, steps):
            visited += weighted(batch)
        assert sorted(visited) == list(range(9))
        epochs.append(visited)
    assert epochs[0] != epochs[1] != epochs[2]


def test_landscape_and_portrait_are_never_mixed():
    for batch in take(make().training_batches(), 12):
        height, width = batch["image_size"].T
        assert len(set((width >= height).tolist())) == 1


def test_incomplete_batches_are_filled_with_photographs_without_weight():
    batches = take(make().training_batches(), 6)
    filled = [batch for batch in batches if not batch["weight"].all()]
    assert len(filled) == 3
    for batch in filled:
        assert batch["weight"].tolist() == [1, 0]
        assert batch["image"][1].any()
        assert batch["object"][1].any()


@pytest.mark.parametrize("fields", [{}, {"crop_size": 64}, {"turns": "all"}])
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
    fields: dict[str, Any] = {"flips": "both", "turns": "all"}
    expected = take(make(**fields).training_batches(), 5)
    workers = make(worker_processes=2, read_threads=1, **fields)
    iterator = workers.training_batches()
    iterator.set_state({"batches": 2})
    assert_same(take(iterator, 3), expected[2:])


def test_turned_photographs_have_batches_of_the_turned_size(sources):
    sources["train"] = source_of(*[LANDSCAPE] * 4)
    batches = take(make(turns="all").training_batches(), 12)
    sizes = {batch["image"].shape[1:3] for batch in batches}
    assert sizes == {(64, 128), (128, 64)}
    for batch in batches:
        expected = [60, 90] if batch["image"].shape[1] == 64 else [90, 60]
        assert batch["image_size"].tolist() == [expected] * 2


def test_crops_have_one_size():
    dataset = make(crop_size=64, short_side=100, long_side=200, turns="all")
    for batch in take(dataset.training_batches(), 6):
        assert batch["image"].shape[1:3] == (64, 64)
        assert batch["masks"].shape[2:] == (64, 8)
        assert batch["image_size"].tolist() == [[64, 64]] * 2
    small = make(crop_size=128, short_side=50, long_side=100)
    for batch in take(small.training_batches(), 6):
        assert batch["image"].shape[1:3] == (128, 128)
        assert (batch["image_size"].min(-1) <= 50).all()
        assert (batch["padded_size"].min(-1) == 64).all()


@pytest.mark.parametrize(
    ("scale", "expected"), [(None, (60, 90)), (1.0, (40, 60)), (9.0, (60, 90))]
)
def test_photographs_may_keep_their_size(scale, expected):
    data = make(largest_scale=scale).data
    assert data.resized(Size(*LANDSCAPE)) == expected


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("padding", ["bucket", "exact"])
def test_whole_test_set_is_seen_once_in_batches_of_one_size(padding, count):
    shards = [
        list(
            make(test_padding=padding).test_batches(
                process_index=index, process_count=count
            )
        )
        for index in range(count)
    ]
    shapes = [[batch["image"].shape for batch in shard] for shard in shards]
    assert all(each == shapes[0] for each in shapes)
    found = []
    for batch in (batch for shard in shards for batch in shard):
        assert len(batch["image"]) == 2 // count
        for i in np.flatnonzero(batch["valid"]):
            index = int(batch["index"][i])
            found.append(index)
            assert batch["image"][i, 0, 0, 0] == (index)
            size = np.array(HELD_OUT.size(index))
            ratios = batch["image_size"][i] / size
            np.testing.assert_allclose(
                batch["scale_factor"][i], ratios[::-1], rtol=1e-6
            )
            if padding == "exact":
                padded = -(-batch["image_size"][i] // 64) * 64
                assert batch["image"][i].shape[:2] == (*padded,)
    assert sorted(found) == list(range(len(HELD_OUT)))


def test_test_batches_may_have_a_size_of_their_own():
    batches = list(make().test_batches(batch_size=5))
    assert {len(batch["index"]) for batch in batches} == {5}
    assert sum(batch["valid"].sum() for batch in batches) == 7


def test_photograph_is_prepared_as_in_a_test_batch():
    dataset = make()
    (batch, *_) = dataset.test_batches(batch_size=1)
    index = int(batch["index"][0])
    pixels = np.zeros((*HELD_OUT.size(index), 3), np.uint8)
    pixels[:] = index
    with HELD_OUT.open(index) as image:
        pixels = np.asarray(image)
    example = module.prepare_photograph(pixels, dataset.data)
    for name in ("image", "image_size", "scale_factor", "valid"):
        np.testing.assert_array_equal(example[name], batch[name][0])
    with pytest.raises(RefusedError, match="`pixels` must have at least one pixel"):
        module.prepare_photograph(np.zeros((0, 5, 3), np.uint8), dataset.data)


def test_photographs_without_objects_and_small_ones_are_left_out(sources, caplog):
    empty = photograph(LANDSCAPE, count=0)
    crowd = photograph(LANDSCAPE, count=1)
    crowd = dataclasses.replace(
        crowd, objects=dataclasses.replace(crowd.objects, crowd=np.ones(1, bool))
    )
    photographs = (*TRAINING.photographs, empty, crowd, photograph((31, 90)))
    sources["train"] = MemorySource(photographs)
    with caplog.at_level(logging.INFO):
        dataset = make()
        assert dataset.contents == (("cat", "dog", "owl"), 9, 7, 3)
    assert (dataset.trained.without_objects, dataset.trained.small) == (2, 1)
    assert caplog.messages == [
        "Training leaves out 2 photographs without objects to train on and 1 with a "
        "side under 32 pixels."
    ]
    sources["train"] = MemorySource((empty, crowd))
    with pytest.raises(RefusedError, match="must have training photographs with obj"):
        make().steps_per_epoch()


def test_test_set_without_objects_is_refused_before_training(sources):
    crowd = photograph(LANDSCAPE, count=1)
    crowd = dataclasses.replace(
        crowd, objects=dataclasses.replace(crowd.objects, crowd=np.ones(1, bool))
    )
    sources["test"] = MemorySource((crowd, photograph(LANDSCAPE, count=0)))
    message = "must have test photographs with objects, .* got 2 photographs with none"
    with pytest.raises(RefusedError, match=message):
        make().check_readable()


def test_more_objects_than_the_maximum_are_refused_or_counted(sources, caplog):
    sources["train"] = MemorySource(
        tuple(photograph(LANDSCAPE, count=n) for n in (2, 7, 4, 5))
    )
    make(max_objects=7).training_batches()
    words = (
        "`max_objects` must be at least 7, the number of objects in 'photograph 1', "
        "got 4; 2 training photographs exceed it. .* `truncate_objects`"
    )
    with pytest.raises(RefusedError, match=words):
        make(max_objects=4).training_batches()
    truncated = make(max_objects=4, truncate_objects=True)
    with caplog.at_level(logging.WARNING):
        truncated.check_objects()
        batches = take(truncated.training_batches(), 2)
    (message,) = caplog.messages
    assert "2 training photographs with more than 4: 4 of 18 objects" in message
    assert [batch["object"].sum(-1).max() for batch in batches] == [4, 4]


def test_unreadable_photograph_is_replaced_by_one_of_its_bucket(sources, caplog):
    sources["train"] = replaced(TRAINING, 2, 7)
    dataset = make()
    visited = []
    with caplog.at_level(logging.WARNING):
        for batch in take(dataset.training_batches(), dataset.steps_per_epoch()):
            visited += weighted(batch)
    # The next of five landscape photographs, and the first portrait one.
    assert sorted(visited) == [0, 1, 3, 3, 4, 5, 5, 6, 8]
    assert len(caplog.messages) == 2
    assert "photograph 2" in caplog.text


def test_bucket_without_a_readable_photograph_has_no_weight(sources):
    sources["train"] = replaced(TRAINING, 8)
    dataset = make(batch_size=1)
    batches = take(dataset.training_batches(), dataset.steps_per_epoch())
    weights = [batch["weight"].tolist() for batch in batches]
    assert sorted(weights) == [[0]] + [[1]] * 8
    (blank,) = [batch for batch in batches if not batch["weight"].any()]
    assert not blank["object"].any()
    assert not blank["image"].any()
    assert blank["masks"].shape == (1, 4, 64, 24)


def test_photograph_of_another_size_than_annotated_is_unreadable(sources, caplog):
    sources["test"] = replaced(HELD_OUT, 1, size=(41, 60))
    with caplog.at_level(logging.WARNING):
        batches = list(make().test_batches())
    assert sum(batch["valid"].sum() for batch in batches) == 6
    assert "photograph 1 (60 x 40 pixels, but 60 x 41 in the anno" in caplog.text


def test_unreadable_photographs_have_a_limit(sources):
    sources["train"], sources["test"] = replaced(TRAINING, 0), replaced(HELD_OUT, 0)
    dataset = make(unreadable_limit=0)
    words = "`unreadable_limit` allows 0 .*photograph 0"
    with pytest.raises(TooManyUnreadableImagesError, match=words):
        take(dataset.training_batches(), dataset.steps_per_epoch())
    with pytest.raises(TooManyUnreadableImagesError, match=words):
        list(dataset.test_batches())


@pytest.mark.parametrize("split", ["train", "test"])
def test_source_without_a_readable_photograph_is_an_error(sources, split):
    sources[split] = replaced(sources[split], *range(9))
    with pytest.raises(RefusedError, match="must have readable images, got none"):
        make().check_readable()


def test_each_split_is_opened_once(sources, monkeypatch):
    opened = []

    def open_images(source, *, split, **fields):
        opened.append((split, fields))
        return sources[split]

    monkeypatch.setattr(module, "open_annotated_images", open_images)
    dataset = make(test_split="val", test_fraction=0.2)
    for _ in range(2):
        take(dataset.training_batches(), 1)
        list(dataset.test_batches())
        assert dataset.contents.test_images == 7
    options = {"test_split": "val", "test_fraction": 0.2, "masks": "required"}
    assert opened == [
        ("train", options),
        ("test", {**options, "classes": TRAINING.classes}),
    ]


def test_extreme_photographs_train_and_are_evaluated(sources):
    mask = np.ones((1, 100, 8000), bool)
    long = Photograph(
        photograph((100, 8000), count=0, red=1).content, (100, 8000), objects_of(mask)
    )
    sources["train"] = sources["test"] = MemorySource((long, photograph((1, 1))))
    dataset = make(masks=True, max_objects=1)
    assert dataset.contents.training_images == 1  # A side of the other is under 32.
    (batch,) = take(dataset.training_batches(), 1)
    assert batch["image_size"].tolist() == [[2, 190]] * 2
    assert batch["box"][0].tolist() == [[0, 0, 190, 2]]
    assert np.unpackbits(batch["masks"][0], axis=-1)[0, :2, :190].all()
    sizes = [b["image_size"][b["valid"]] for b in dataset.test_batches()]
    assert np.concatenate(sizes).tolist() == [[60, 60], [2, 190]]


def test_examples_are_small_when_pickled():
    examples = make().training_examples
    copy = pickle.loads(pickle.dumps(examples))
    order = examples.order
    expected = [examples(order.visit(i), order.generator(i)) for i in range(4)]
    again = [copy(copy.order.visit(i), copy.order.generator(i)) for i in range(4)]
    assert_same(again, expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be positive"),
        ({"short_side": 0}, "`short_side` must be positive, got 0"),
        ({"long_side": 59}, "`long_side` must be at least `short_side`, 60, got 59"),
        ({"largest_scale": 0.0}, "`largest_scale` must be positive or None, got 0"),
        ({"crop_size": 96}, "`crop_size` must be a positive multiple of 64 or None"),
        ({"crop_size": 0}, "`crop_size` must be a positive multiple of 64 or None"),
        ({"bucket_aspects": (0.5,)}, "`bucket_aspects` must have numbers of at least"),
        ({"max_objects": 0}, "`max_objects` must be positive"),
        ({"seed": -1}, r"`seed` must lie in \[0, 2\*\*32\)"),
        ({"worker_processes": -1}, "`worker_processes` must not be negative"),
    ],
)
def test_invalid_values_are_refused(fields, message):
    with pytest.raises(RefusedError, match=message):
        make(**fields)


def test_processes_that_cannot_share_a_batch_are_refused():
    with pytest.raises(RefusedError, match="`batch_size` must be a positive multiple"):
        make().training_batches(process_count=3)
