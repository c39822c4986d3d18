import dataclasses
import itertools
import json
import pathlib
import pickle
from collections.abc import Iterator

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from carafe_jax.data import FreeFormHoles, TooManyUnreadableImagesError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting import data as module
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    InpaintingDataset,
    InpaintingTestBatch,
    open_held_out_examples,
    stack_examples,
    training_batches,
)
from tests.subprocesses import run_python

SMALL = InpaintingData(crop_size=16, batch_size=4, test_crops=3)


def assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], strict=True)


def evaluation_batches(data: InpaintingData, **kwargs) -> Iterator[InpaintingTestBatch]:
    return InpaintingDataset(data).evaluation_batches(**kwargs)


def take(data: InpaintingData, count: int, **kwargs) -> list:
    return list(itertools.islice(training_batches(data, **kwargs), count))


@pytest.fixture
def greys(tmp_path) -> InpaintingData:
    """Ten one-coloured training images, their grey values 10 apart, and two tests."""
    for index in range(12):
        path = tmp_path / ("train" if index < 10 else "test") / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (20, 24), 10 * index).save(path)
    return dataclasses.replace(SMALL, source=str(tmp_path))


def whole_test(data: InpaintingData) -> InpaintingTestBatch:
    return stack_examples(open_held_out_examples(data))


def which(batch) -> list[int]:
    greys = (batch["image"].mean((1, 2, 3)) + 1) * 127.5
    return np.rint(greys / 10).astype(int).tolist()


def test_batch_is_images_and_masks_in_range():
    batch = next(training_batches(SMALL))
    assert batch.keys() == {"image", "mask"}
    assert batch["image"].shape == (4, 16, 16, 3)
    assert batch["mask"].shape == (4, 16, 16, 1)
    assert batch["image"].dtype == batch["mask"].dtype == np.float32
    assert -1 <= batch["image"].min() < -0.3 < 0.3 < batch["image"].max() <= 1
    assert set(np.unique(batch["mask"])) == {0.0, 1.0}


def test_every_mask_of_a_batch_is_another():
    mask = next(training_batches(SMALL))["mask"]
    assert len(np.unique(mask, axis=0)) == 4


def test_black_and_white_are_the_ends_of_the_range(tmp_path):
    for split, grey in (("train", 0), ("test", 255)):
        (tmp_path / split).mkdir()
        Image.new("L", (20, 20), grey).save(tmp_path / split / "a.png")
    data = dataclasses.replace(SMALL, source=str(tmp_path))
    assert set(np.unique(next(training_batches(data))["image"])) == {-1.0}
    assert set(np.unique(whole_test(data)["image"])) == {1.0}


def test_half_of_the_crops_are_flipped(tmp_path):
    ramp = np.broadcast_to(np.arange(24, dtype=np.uint8) * 10, (24, 24)).copy()
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.fromarray(ramp).save(tmp_path / split / "a.png")
    data = dataclasses.replace(SMALL, source=str(tmp_path), batch_size=200)
    image = next(training_batches(data))["image"]
    flipped = np.mean(image[:, 0, 0, 0] > image[:, 0, -1, 0])
    # Four standard deviations of 200 tosses.
    assert abs(flipped - 0.5) < 0.15


def test_shuffled_colours_have_every_order(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (20, 20), (10, 20, 30)).save(tmp_path / split / "a.png")
    data = dataclasses.replace(
        SMALL, source=str(tmp_path), batch_size=200, colours="shuffled"
    )
    pixels = (next(training_batches(data))["image"][:, 0, 0] + 1) * 127.5
    orders, counts = np.unique(np.rint(pixels), axis=0, return_counts=True)
    assert len(orders) == 6
    # 200 draws of 1 in 6, give or take four standard deviations.
    assert ((counts > 12) & (counts < 55)).all()
    held_out = (whole_test(data)["image"][:, 0, 0] + 1) * 127.5
    np.testing.assert_array_equal(np.rint(held_out), [[10, 20, 30]] * len(held_out))


def test_turned_crops_show_every_symmetry_of_a_square(tmp_path):
    picture = np.zeros((24, 24), np.uint8)
    picture[:12, :12], picture[:12, 12:] = 100, 200  # Top left, top right.
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.fromarray(picture).save(tmp_path / split / "a.png")
    data = dataclasses.replace(
        SMALL,
        source=str(tmp_path),
        batch_size=200,
        turns="all",
        crop_fraction=(1.0, 1.0),
    )
    image = next(training_batches(data))["image"][..., 0]
    corners = np.stack([image[:, y, x] for y in (0, -1) for x in (0, -1)], axis=-1)
    symmetries, counts = np.unique(np.rint(corners * 10), axis=0, return_counts=True)
    assert len(symmetries) == 8
    # 200 draws of 1 in 8, give or take four standard deviations.
    assert ((counts > 6) & (counts < 44)).all()


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_batches_depend_on_the_seed_alone(threads):
    threaded = dataclasses.replace(SMALL, read_threads=threads)
    for first, second in zip(take(SMALL, 5), take(threaded, 5), strict=True):
        assert_same(first, second)


def test_another_seed_gives_other_batches():
    (first,), (second,) = take(SMALL, 1), take(dataclasses.replace(SMALL, seed=1), 1)
    assert not np.array_equal(first["image"], second["image"])
    assert not np.array_equal(first["mask"], second["mask"])


def test_every_epoch_visits_each_photograph_equally_often_in_another_order(greys):
    # 1024 visits of ten photographs round up to 1030.
    first, second = take(dataclasses.replace(greys, batch_size=1030), 2)
    for epoch in (first, second):
        assert np.bincount(which(epoch)).tolist() == [103] * 10
    assert which(first) != which(second)
    assert not np.array_equal(first["mask"], second["mask"])


def test_iterator_resumes_bit_for_bit_from_its_state():
    iterator = training_batches(SMALL)
    for _ in range(5):
        next(iterator)
    # Through JSON, as in a checkpoint.
    state = json.loads(json.dumps(iterator.get_state()))
    expected = [next(iterator) for _ in range(3)]
    resumed = training_batches(SMALL)
    resumed.set_state(state)
    for batch in expected:
        assert_same(next(resumed), batch)


def test_iterator_resumes_from_an_orbax_checkpoint(tmp_path):
    iterator = training_batches(SMALL)
    for _ in range(3):
        next(iterator)
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        save = ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator))
        manager.save(3, args=save)
        manager.wait_until_finished()
        resumed = training_batches(SMALL)
        restore = ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(resumed))
        manager.restore(3, args=restore)
    assert_same(next(resumed), next(iterator))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_batch_of_one_process(count):
    whole = take(SMALL, 3)
    shards = [
        take(SMALL, 3, process_index=i, process_count=count) for i in range(count)
    ]
    for step, batch in enumerate(whole):
        together = {
            name: np.concatenate([shard[step][name] for shard in shards])
            for name in batch
        }
        assert_same(together, batch)


def test_test_examples_are_some_crops_of_each_photograph(greys):
    examples = whole_test(greys)
    assert which(examples) == [10, 10, 10, 11, 11, 11]
    assert examples["mask"].shape == (6, 16, 16, 1)
    assert len(np.unique(examples["mask"], axis=0)) == 6


def test_fewer_test_photographs_are_some_of_all(greys):
    every = whole_test(greys)
    some = whole_test(dataclasses.replace(greys, test_photographs=1))
    crops = greys.test_crops
    assert len(every["image"]) == 2 * crops
    assert_same(some, jax.tree.map(lambda x: x[:crops], every))


def test_test_examples_are_accessed_by_index(greys):
    examples = open_held_out_examples(greys)
    assert len(examples) == 6
    whole = whole_test(greys)
    assert_same(examples[4], jax.tree.map(lambda x: x[4], whole))
    for index in (-1, 6):
        with pytest.raises(IndexError):
            examples[index]


def test_test_examples_do_not_depend_on_the_training_seed():
    other = dataclasses.replace(SMALL, seed=1, batch_size=2, read_threads=0)
    assert_same(whole_test(other), whole_test(SMALL))


def test_another_test_seed_gives_another_test_set():
    other = whole_test(dataclasses.replace(SMALL, test_seed=1))
    assert not np.array_equal(other["image"], whole_test(SMALL)["image"])
    assert not np.array_equal(other["mask"], whole_test(SMALL)["mask"])


@pytest.mark.slow
def test_test_examples_are_the_same_in_another_process(tmp_path):
    program = (
        "import sys, numpy as np, carafe_jax.tasks.inpainting.data as d\n"
        "data = d.InpaintingData(crop_size=16, batch_size=4, test_crops=3)\n"
        "np.savez(sys.argv[1], **d.stack_examples(d.open_held_out_examples(data)))\n"
    )
    path = tmp_path / "examples.npz"
    run_python("-c", program, path, environment={"PYTHONHASHSEED": "7"})
    with np.load(path) as examples:
        assert_same(dict(examples), whole_test(SMALL))


def test_form_of_the_holes_is_taken_from_the_configuration():
    holes = FreeFormHoles(strokes=(0, 0), rectangles=(1, 1), rectangle_side=(0.5, 0.5))
    data = dataclasses.replace(SMALL, masks=holes)
    batches: list[InpaintingBatch] = [
        next(training_batches(data)),
        whole_test(data),
    ]
    for batch in batches:
        assert set(batch["mask"].sum((1, 2, 3))) == {64.0}


def test_crops_of_a_folder_do_not_depend_on_the_cache(greys):
    uncached = dataclasses.replace(greys, cache_mebibytes=0)
    assert_same(next(training_batches(uncached)), next(training_batches(greys)))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("batch_size", 0, "be positive"),
        ("test_crops", 0, "be positive"),
        ("test_photographs", 0, "be positive or None"),
        ("crop_size", 7, "be at least 8"),
        ("crop_fraction", (0.0, 1.0), "be two numbers"),
        ("crop_fraction", (0.9, 0.5), "be two numbers"),
        ("crop_fraction", (0.5, 1.5), "be two numbers"),
        ("seed", -1, "lie in"),
        ("test_seed", 2**32, "lie in"),
        ("test_fraction", 1.0, "lie between 0 and 1"),
        ("cache_mebibytes", -1, "not be negative"),
        ("read_threads", -1, "not be negative"),
        ("worker_processes", -1, "not be negative"),
        ("unreadable_limit", -1, "not be negative"),
        ("prefetch_batches", -1, "not be negative"),
    ],
)
def test_refuses_invalid_configurations(field, value, rule):
    with pytest.raises(ValueError, match=f"`{field}` must {rule}") as error:
        InpaintingData(**{field: value})
    assert str(error.value).endswith(f"got {value}.")


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        ({"process_count": 0}, "`process_count` must be positive, got 0"),
        (
            {"process_index": 2, "process_count": 2},
            r"`process_index` must lie in \[0, 2\), got 2",
        ),
        (
            {"process_count": 3},
            "`batch_size` must be a positive multiple of the 3 .* got 4",
        ),
    ],
)
def test_refuses_processes_that_cannot_share(processes, message):
    with pytest.raises(ValueError, match=message):
        training_batches(SMALL, **processes)


@pytest.mark.parametrize("make", [training_batches, open_held_out_examples])
def test_refuses_crops_larger_than_every_photograph(make):
    with pytest.raises(
        ValueError,
        match=r"^`crop_size` must be at most .* of 'builtin' for .*, got 2000\.$",
    ):
        make(dataclasses.replace(SMALL, crop_size=2000))


def damage(data: InpaintingData, *names: str) -> None:
    for name in names:
        pathlib.Path(data.source, name).write_bytes(b"no image")


def test_unreadable_photograph_is_replaced_by_the_next_one(greys, caplog):
    damage(greys, "train/03.png")
    (batch,) = take(dataclasses.replace(greys, batch_size=1030), 1)
    assert np.bincount(which(batch)).tolist() == [103, 103, 103, 0, 206, *[103] * 5]
    assert "the 1st of at most 100: " in caplog.text
    assert str(pathlib.Path(greys.source, "train/03.png")) in caplog.text


def test_order_does_not_depend_on_what_is_unreadable(greys):
    (expected,) = take(greys, 1)
    first = which(expected)[0]
    damage(greys, f"train/{first:02}.png")
    (batch,) = take(greys, 1)
    for index, photograph in enumerate(which(expected)):
        if photograph != first:
            for name in ("image", "mask"):
                np.testing.assert_array_equal(batch[name][index], expected[name][index])


def test_small_photographs_are_unreadable(greys, caplog):
    Image.new("L", (32, 15)).save(pathlib.Path(greys.source, "train", "00.png"))
    take(dataclasses.replace(greys, batch_size=64), 1)
    assert "00.png (32 x 15 pixels, a side under 16)" in caplog.text


def test_examples_of_an_unreadable_test_photograph_are_not_valid(greys):
    expected = whole_test(greys)
    damage(greys, "test/10.png")
    examples = whole_test(greys)
    assert examples["valid"].tolist() == [False] * 3 + [True] * 3
    for name in ("image", "mask"):
        np.testing.assert_array_equal(examples[name][3:], expected[name][3:])
        assert not examples[name][:3].any()


def test_too_many_unreadable_photographs_are_an_error(greys):
    damage(greys, "train/01.png", "train/02.png")
    data = dataclasses.replace(greys, unreadable_limit=1, batch_size=64)
    with pytest.raises(TooManyUnreadableImagesError, match=r"allows 1 .* got 2: .*png"):
        take(data, 1)


@pytest.mark.parametrize("make", [training_batches, evaluation_batches])
def test_source_without_a_readable_photograph_is_an_error(greys, make):
    data = dataclasses.replace(greys, crop_size=40)
    message = (
        r"`source` must have readable images, got none among .*"
        r"\(20 x 24 pixels, a side under 40\)"
    )
    with pytest.raises(RefusedError, match=message):
        next(make(data))


@pytest.mark.weekly
def test_worker_processes_make_the_same_batches(greys):
    workers = dataclasses.replace(greys, worker_processes=1, read_threads=1)
    for first, second in zip(take(greys, 3), take(workers, 3), strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("batch_size", [4, 6])
@pytest.mark.parametrize("count", [1, 2])
def test_processes_see_the_whole_test_set_once(greys, batch_size, count):
    shards = [
        list(
            evaluation_batches(
                greys, batch_size=batch_size, process_index=i, process_count=count
            )
        )
        for i in range(count)
    ]
    assert {len(shard) for shard in shards} == {-(-6 // batch_size)}
    batches = [batch for step in zip(*shards, strict=True) for batch in step]
    assert {len(batch["valid"]) for batch in batches} == {batch_size // count}
    joined = {
        name: np.concatenate([batch[name] for batch in batches])
        for name in ("image", "mask", "valid")
    }
    valid = joined["valid"]
    assert valid.tolist() == [True] * 6 + [False] * (len(valid) - 6)
    assert_same({k: v[valid] for k, v in joined.items()}, whole_test(greys))


def test_source_is_counted_without_reading_it(greys):
    damage(greys, "train/01.png", "test/10.png")
    assert InpaintingDataset(greys).contents == (10, 2)


def test_each_split_is_opened_once_on_its_first_use(greys, monkeypatch):
    opened = []
    open_photographs = module.open_photographs

    def open_and_count(source, *, split, **kwargs):
        opened.append(split)
        return open_photographs(source, split=split, **kwargs)

    monkeypatch.setattr(module, "open_photographs", open_and_count)
    dataset = InpaintingDataset(greys)
    assert opened == []
    next(dataset.training_batches())
    assert opened == ["train"]
    for _ in range(2):
        list(dataset.evaluation_batches())
        assert dataset.held_out[0]["valid"]
        assert dataset.contents == (10, 2)
        next(dataset.training_batches())
    assert opened == ["train", "test"]


def test_photographs_stay_decoded_between_evaluations(greys):
    dataset = InpaintingDataset(greys)
    first = list(dataset.evaluation_batches())
    damage(greys, "test/10.png", "test/11.png")
    for batch, expected in zip(dataset.evaluation_batches(), first, strict=True):
        assert_same(batch, expected)


def test_unreadable_photographs_are_reported_and_counted_once(greys, caplog):
    damage(greys, "train/03.png", "test/10.png")
    data = dataclasses.replace(greys, unreadable_limit=1, batch_size=64)
    dataset = InpaintingDataset(data)
    for _ in range(2):
        next(dataset.training_batches())
        list(dataset.evaluation_batches())
        assert not dataset.held_out[0]["valid"]
    assert len(caplog.records) == 2
    for name in ("train/03.png", "test/10.png"):
        path = pathlib.Path(greys.source, name)
        assert caplog.text.count(f"the 1st of at most 1: {path}") == 1


def test_decoded_photographs_are_not_sent_to_other_processes(greys):
    examples = InpaintingDataset(greys).held_out
    before = len(pickle.dumps(examples))
    expected = stack_examples(examples)
    assert len(pickle.dumps(examples)) == before
    assert_same(stack_examples(pickle.loads(pickle.dumps(examples))), expected)


@pytest.mark.slow
def test_worker_processes_evaluate_photographs_that_were_read_here(greys):
    damage(greys, "test/10.png")
    workers = dataclasses.replace(greys, worker_processes=1, read_threads=1)
    dataset = InpaintingDataset(workers)
    expected = stack_examples(dataset.held_out)
    (batch,) = dataset.evaluation_batches(batch_size=6)
    assert_same(batch, expected)
