"""Batches of labelled images."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import TooManyUnreadableImagesError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification import data as module
from carafe_jax.tasks.classification.data import (
    ClassificationData,
    ClassificationDataset,
    training_batches,
)

# One colour per class, which stays distinct after JPEG compression.
COLOURS = {"apple": (200, 20, 20), "leaf": (20, 200, 20), "sea": (20, 20, 200)}


def write_images(root, counts, *, size=(40, 30)):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            # The images of a class differ in their shade.
            colour = [min(255, c + 2 * number) for c in COLOURS[name]]
            path = root / name / f"{number}.JPEG"
            Image.new("RGB", size, tuple(colour)).save(path, quality=95)


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "train", {"apple": 5, "leaf": 4, "sea": 3})
    write_images(tmp_path / "val", {"apple": 3, "leaf": 3, "sea": 1})
    return tmp_path


def evaluation_batches(data, **kwargs):
    return ClassificationDataset(data).evaluation_batches(**kwargs)


def make(folder, **fields):
    fields = {
        "image_size": 8,
        "resize_size": 10,
        "batch_size": 4,
        "read_threads": 2,
        **fields,
    }
    return ClassificationData(source=str(folder), **fields)


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for one, other in zip(batches, expected, strict=True):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_batches_have_images_and_the_labels_of_their_colour(folder):
    data = make(folder)
    assert ClassificationDataset(data).contents == (("apple", "leaf", "sea"), 12, 7)
    for batch in take(training_batches(data), 6):
        assert batch["image"].shape == (4, 8, 8, 3)
        assert batch["image"].dtype == np.uint8
        assert batch["label"].dtype == np.int32
        strongest = batch["image"].mean((1, 2)).argmax(-1)
        np.testing.assert_array_equal(strongest, batch["label"])


def test_each_epoch_visits_every_image_once_in_another_order(folder):
    batches = take(training_batches(make(folder)), 6)
    labels = np.concatenate([b["label"] for b in batches]).reshape(2, 12)
    for epoch in labels:
        np.testing.assert_array_equal(np.bincount(epoch), [5, 4, 3])
    assert (labels[0] != labels[1]).any()


def test_sequence_depends_on_the_seed_alone(folder):
    expected = take(training_batches(make(folder)), 5)
    again = make(folder, read_threads=0, prefetch_batches=1)
    assert_same(take(training_batches(again), 5), expected)
    other = take(training_batches(make(folder, seed=1)), 5)
    with pytest.raises(AssertionError):
        assert_same(other, expected)


def test_position_is_saved_and_restored_bit_for_bit(folder):
    iterator = training_batches(make(folder))
    take(iterator, 4)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = take(iterator, 3)
    resumed = training_batches(make(folder))
    resumed.set_state(state)
    assert_same(take(resumed, 3), expected)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_examples_of_one(folder, count):
    data = make(folder)
    whole = take(training_batches(data), 3)
    shards = [
        take(
            training_batches(data, process_index=index, process_count=count),
            3,
        )
        for index in range(count)
    ]
    for step, batch in enumerate(whole):
        joined = np.concatenate([shard[step]["image"] for shard in shards])
        np.testing.assert_array_equal(joined, batch["image"])


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [4, 8])
def test_whole_test_set_is_seen_once(folder, batch_size, count):
    shards = [
        list(
            evaluation_batches(
                make(folder),
                batch_size=batch_size,
                process_index=index,
                process_count=count,
            )
        )
        for index in range(count)
    ]
    assert {len(shard) for shard in shards} == {-(-7 // batch_size)}
    batches = [batch for shard in shards for batch in shard]
    assert {len(batch["label"]) for batch in batches} == {batch_size // count}
    valid = np.concatenate([batch["valid"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])[valid]
    np.testing.assert_array_equal(np.bincount(labels), [3, 3, 1])


@pytest.mark.slow
def test_worker_processes_make_the_same_batches(folder):
    expected = take(training_batches(make(folder)), 3)
    workers = make(folder, worker_processes=1, read_threads=1)
    assert_same(take(training_batches(workers), 3), expected)


def damage(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"\xff\xd8 no image")


def test_unreadable_image_is_replaced_by_the_next_one(folder, caplog):
    damage(folder, "train/leaf/0.JPEG")
    with caplog.at_level(logging.WARNING):
        batches = take(training_batches(make(folder)), 3)
    labels = np.concatenate([b["label"] for b in batches])
    np.testing.assert_array_equal(np.bincount(labels), [5, 4, 3])
    assert "leaf/0.JPEG" in caplog.text
    assert_same(take(training_batches(make(folder)), 3), batches)


def test_unreadable_test_image_is_not_valid(folder, caplog):
    damage(folder, "val/sea/0.JPEG")
    with caplog.at_level(logging.WARNING):
        batches = list(evaluation_batches(make(folder)))
    valid = np.concatenate([batch["valid"] for batch in batches])
    assert valid.sum() == 6
    assert "sea/0.JPEG" in caplog.text


def test_too_many_unreadable_images_are_an_error(folder):
    damage(folder, "val/sea/0.JPEG", "val/apple/0.JPEG")
    data = make(folder, unreadable_limit=1, read_threads=0)
    with pytest.raises(
        TooManyUnreadableImagesError,
        match=r"`unreadable_limit` allows 1 .* got 2: .*0.JPEG",
    ):
        list(evaluation_batches(data))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 0}, "`image_size` must be positive, got 0"),
        ({"resize_size": 7}, "`resize_size` must be at least `image_size`, 8, got 7"),
        ({"batch_size": 0}, "`batch_size` must be positive"),
        ({"crop_area": (0.5, 0.4)}, "`crop_area` must be two numbers"),
        ({"crop_ratio": (0.0, 1.0)}, "`crop_ratio` must be two numbers"),
        ({"seed": -1}, r"`seed` must lie in \[0, 2\*\*32\)"),
        ({"unreadable_limit": -1}, "`unreadable_limit` must not be negative"),
        ({"worker_processes": -1}, "`worker_processes` must not be negative"),
    ],
)
def test_invalid_values_are_refused(folder, fields, message):
    with pytest.raises(ValueError, match=message):
        make(folder, **fields)


def test_processes_that_cannot_share_a_batch_are_refused(folder):
    with pytest.raises(ValueError, match="`batch_size` must be a positive multiple of"):
        training_batches(make(folder), process_count=3)
    with pytest.raises(ValueError, match=r"`process_index` must lie in \[0, 2\)"):
        training_batches(make(folder), process_index=2, process_count=2)


@pytest.mark.slow
def test_too_many_unreadable_images_are_an_error_from_a_worker_process(folder):
    damage(folder, "train/leaf/0.JPEG", "train/apple/0.JPEG")
    errors = []
    for processes in (0, 1):
        data = make(
            folder, unreadable_limit=0, worker_processes=processes, read_threads=0
        )
        with pytest.raises(TooManyUnreadableImagesError) as caught:
            take(training_batches(data), 3)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    assert errors[0].reasons == errors[1].reasons
    assert "0.JPEG (cannot identify image file)" in str(errors[0])


@pytest.mark.parametrize("batches", [training_batches, evaluation_batches])
def test_source_without_a_readable_image_is_an_error(folder, batches):
    for path in folder.rglob("*.JPEG"):
        path.write_bytes(b"no image")
    message = r"must have readable images, got none among .*0.JPEG"
    with pytest.raises(RefusedError, match=message):
        next(batches(make(folder)))


def test_folder_without_splits_is_split_by_a_hash(tmp_path):
    write_images(tmp_path, {"apple": 8, "leaf": 8})
    data = make(tmp_path, test_fraction=0.3)
    contents = ClassificationDataset(data).contents
    assert contents.classes == ("apple", "leaf")
    assert contents.training_images + contents.test_images == 16
    assert contents.test_images > 0
    (batch,) = take(training_batches(data), 1)
    strongest = batch["image"].mean((1, 2)).argmax(-1)
    np.testing.assert_array_equal(strongest, batch["label"])


def test_missing_folder_is_refused(tmp_path):
    for batches in (training_batches, evaluation_batches):
        with pytest.raises(RefusedError, match="`source` must be an existing folder"):
            batches(make(tmp_path / "nowhere"))


def test_each_split_is_opened_once_on_its_first_use(folder, monkeypatch):
    opened = []
    open_images = module.open_labelled_images

    def open_and_count(source, *, split, **options):
        opened.append(split)
        return open_images(source, split=split, **options)

    monkeypatch.setattr(module, "open_labelled_images", open_and_count)
    dataset = ClassificationDataset(make(folder))
    assert opened == []
    take(dataset.training_batches(), 1)
    assert opened == ["train"]
    for _ in range(2):
        list(dataset.evaluation_batches())
        take(dataset.training_batches(), 1)
        assert dataset.contents.test_images == len(dataset.held_out)
    assert opened == ["train", "test"]


def test_unreadable_images_are_reported_and_counted_once(folder, caplog):
    damage(folder, "train/leaf/0.JPEG", "val/sea/0.JPEG")
    dataset = ClassificationDataset(make(folder, unreadable_limit=1))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            take(dataset.training_batches(), 6)
            list(dataset.evaluation_batches())
    (training, held_out) = sorted(record.message for record in caplog.records)
    assert "the 1st of at most 1" in training
    assert "leaf/0.JPEG" in training
    assert "the 1st of at most 1" in held_out
    assert "sea/0.JPEG" in held_out


def test_held_out_examples_are_accessed_by_index(folder):
    examples = ClassificationDataset(make(folder)).held_out
    (batch,) = ClassificationDataset(make(folder)).evaluation_batches(batch_size=8)
    assert len(list(examples)) == len(examples) == 7
    for index, example in enumerate(examples):
        np.testing.assert_array_equal(example["image"], batch["image"][index])
    for index in (-1, 7):
        with pytest.raises(IndexError):
            examples[index]
