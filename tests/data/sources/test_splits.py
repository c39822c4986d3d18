"""One rule for splits, for both kinds of sources."""

import pytest

from carafe_jax.data import open_labelled_images, open_photographs
from carafe_jax.data.sources.splits import name_in_tfds, split_names
from carafe_jax.errors import RefusedError
from tests.data.sources.pictures import reds, write

NAMES = [f"{i % 3}/deep/{i:03}.png" for i in range(100)]


def parts(names, fraction=0.1):
    return [split_names(names, s, test_fraction=fraction) for s in ("train", "test")]


def photographs(folder, split, **kwargs):
    opened = open_photographs(str(folder), split=split, minimum_side=8, **kwargs)
    return [opened.name(index) for index in range(len(opened))]


def labelled(folder, split, **kwargs):
    opened = open_labelled_images(str(folder), split=split, **kwargs)
    return [opened.name(index) for index in range(len(opened))]


@pytest.mark.parametrize("names", [photographs, labelled])
@pytest.mark.parametrize(
    "present", [("val", "validation", "test"), ("validation", "test"), ("test",)]
)
def test_first_existing_sub_folder_is_the_test_set(tmp_path, names, present):
    write(tmp_path, ["train/x/0.png", *(f"{name}/x/0.png" for name in present)])
    assert names(tmp_path, "train") == [str(tmp_path / "train/x/0.png")]
    assert names(tmp_path, "test") == [str(tmp_path / f"{present[0]}/x/0.png")]


@pytest.mark.parametrize("names", [photographs, labelled])
def test_another_test_set_can_be_chosen(tmp_path, names):
    write(tmp_path, [f"{name}/x/0.png" for name in ("train", "val", "test")])
    for split in ("train", "test"):
        found = names(tmp_path, split, test_split="test")
        assert found == [str(tmp_path / split / "x/0.png")]
    rule = r"`test_split` must be .* a split .*\(val, test\), got 'validation'"
    with pytest.raises(RefusedError, match=rule):
        names(tmp_path, "test", test_split="validation")
    with pytest.raises(RefusedError, match=r"`test_split` must .*\(none\), got 'val'"):
        names(tmp_path / "train", "test", test_split="val")


@pytest.mark.parametrize("names", [photographs, labelled])
def test_test_set_without_a_training_set_beside_it_cannot_be_chosen(tmp_path, names):
    write(tmp_path, [f"test/x/{i}.png" for i in range(4)])
    rule = "`test_split` must be None if `source` has no folder `train` .*, got 'test'"
    for split in ("train", "test"):
        with pytest.raises(RefusedError, match=rule):
            names(tmp_path, split, test_split="test")
    assert len(names(tmp_path, "train") + names(tmp_path, "test")) == 4


def test_built_in_photographs_have_one_test_set():
    with pytest.raises(RefusedError, match=r"`test_split` must be None .*, got 'val'"):
        photographs("builtin", "test", test_split="val")


@pytest.mark.parametrize("names", [photographs, labelled])
def test_photographs_and_labelled_images_hold_out_the_same_files(tmp_path, names):
    write(tmp_path, [f"{name}/{i}.png" for name in "xyz" for i in range(4)])
    train, test = (names(tmp_path, s, test_fraction=0.5) for s in ("train", "test"))
    assert sorted(train + test) == sorted(map(str, tmp_path.rglob("*.png")))
    assert train == photographs(tmp_path, "train", test_fraction=0.5)
    assert min(len(train), len(test)) > 0


def test_photographs_of_train_without_a_test_are_split_by_a_hash(tmp_path):
    write(tmp_path, [f"train/{i}.png" for i in range(4)])
    opened = [
        open_photographs(str(tmp_path), split=s, minimum_side=8, test_fraction=0.5)
        for s in ("train", "test")
    ]
    assert sorted(reds(opened[0]) + reds(opened[1])) == [0, 1, 2, 3]


def test_hashed_splits_are_disjoint_and_complete():
    train, test = parts(NAMES)
    assert sorted(train + test) == sorted(NAMES)
    # Ten expected; a binomial of 100 draws leaves this range once in 10,000 folders.
    assert 1 <= len(test) <= 24


def test_hashed_splits_are_the_same_on_every_machine():
    # The SHA-256 of these names, as a fraction of its range, begins with 0.06, 0.20,
    # 0.03 and 0.18, and those of the others with 0.58 or more (computed independently).
    _, test = parts([f"{i}.png" for i in range(8)], 0.3)
    assert test == ["0.png", "2.png", "6.png", "7.png"]


def test_split_of_a_file_does_not_depend_on_other_files():
    _, before = parts(NAMES)
    _, after = parts([*NAMES, *(f"new/{i}.png" for i in range(20))])
    assert [name for name in after if not name.startswith("new")] == before


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_no_hashed_split_of_two_files_is_empty(fraction):
    assert [len(part) for part in parts(["a.png", "b.png"], fraction)] == [1, 1]


def test_tfds_validation_split_is_preferred_to_test():
    every = ("train", "test", "validation", "other")
    assert name_in_tfds(every, "train") == "train"
    assert name_in_tfds(every, "test") == "validation"
    assert name_in_tfds(("train", "test"), "test") == "test"
    assert name_in_tfds(("test",), "train") is None


@pytest.mark.parametrize("names", [photographs, labelled])
def test_invalid_splits_and_fractions_are_refused(tmp_path, names):
    with pytest.raises(
        ValueError, match="`split` must be 'train' or 'test', got 'val'"
    ):
        names(tmp_path, "val")
    with pytest.raises(ValueError, match="`test_fraction` must lie between 0 and 1"):
        names(tmp_path, "train", test_fraction=1.0)
