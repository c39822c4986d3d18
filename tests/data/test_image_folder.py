import logging
import pathlib

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import Photographs, open_photographs


def fill(folder: pathlib.Path, names: list[str], side: int = 16) -> pathlib.Path:
    """Write images whose colours are their places in the list."""
    for value, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side, side), (value, 0, 0)).save(folder / name)
    return folder


def reds(photographs: Photographs) -> list[int]:
    return [int(photographs[i][0, 0, 0]) for i in range(len(photographs))]


def open_split(folder: pathlib.Path, split, **kwargs) -> Photographs:
    return open_photographs(str(folder), split=split, minimum_side=8, **kwargs)


@pytest.fixture
def many(tmp_path) -> pathlib.Path:
    return fill(tmp_path, [f"{i % 3}/deep/{i:03}.png" for i in range(100)])


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_sub_folders_are_the_split(tmp_path, test_name):
    fill(tmp_path, ["train/x/0.png", f"{test_name}/1.PNG", "train/y/z/2.jpg"])
    assert reds(open_split(tmp_path, "train")) == [0, 2]
    assert reds(open_split(tmp_path, "test")) == [1]


def test_train_without_a_test_is_no_split(tmp_path):
    fill(tmp_path, [f"train/{i}.png" for i in range(4)])
    held_out = reds(open_split(tmp_path, "test", test_fraction=0.5))
    trained_on = reds(open_split(tmp_path, "train", test_fraction=0.5))
    assert sorted(held_out + trained_on) == [0, 1, 2, 3]


def test_hashed_splits_share_nothing_and_leave_nothing_out(many):
    held_out, trained_on = (reds(open_split(many, s)) for s in ("test", "train"))
    assert sorted(held_out + trained_on) == list(range(100))
    # Ten expected; a binomial of 100 draws leaves this range once in 10,000 folders.
    assert 1 <= len(held_out) <= 24


def test_hashed_split_is_the_same_on_every_machine(tmp_path):
    # SHA-256 of these names begins with 0.06, 0.20, 0.03, 0.18 of its range, as
    # computed apart from the package; those of the others with 0.58 or more.
    fill(tmp_path, [f"{i}.png" for i in range(8)])
    assert reds(open_split(tmp_path, "test", test_fraction=0.3)) == [0, 2, 6, 7]


def test_hashed_split_of_a_file_outlasts_new_files(many):
    before = reds(open_split(many, "test"))
    fill(many / "new", [f"{i}.png" for i in range(100, 120)], side=9)
    after = open_split(many, "test")
    kept = [
        int(photograph[0, 0, 0])
        for photograph in (after[i] for i in range(len(after)))
        if len(photograph) == 16
    ]
    assert kept == before


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_no_hashed_split_of_two_files_is_empty(tmp_path, fraction):
    fill(tmp_path, ["a.png", "b.png"])
    for split in ("train", "test"):
        assert len(open_split(tmp_path, split, test_fraction=fraction)) == 1


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_photographs_come_in_the_order_of_their_paths(tmp_path, cache_bytes):
    names = ["train/b/0.png", "train/a/1.png", "train/2.png", "test/3.png"]
    photographs = open_split(fill(tmp_path, names), "train", cache_bytes=cache_bytes)
    assert reds(photographs) == [2, 1, 0]


def test_folder_that_fits_is_held_in_memory(many):
    photographs = open_split(many, "train")
    before = photographs[0].copy()
    for path in many.rglob("*.png"):
        path.unlink()
    np.testing.assert_array_equal(photographs[0], before, strict=True)


def test_folder_that_does_not_fit_is_read_when_asked(many):
    photographs = open_split(many, "train", cache_bytes=89 * 16 * 16)
    for path in many.rglob("*.png"):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        photographs[0]


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_bad_files_are_counted_named_and_skipped(tmp_path, caplog, cache_bytes):
    fill(tmp_path, ["train/good.png", "train/cut.png", "test/a.png"], side=64)
    fill(tmp_path, ["train/tiny.png"], side=7)
    cut = tmp_path / "train/cut.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    (tmp_path / "train/text.jpg").write_text("no image")
    with caplog.at_level(logging.WARNING):
        assert len(open_split(tmp_path, "train", cache_bytes=cache_bytes)) == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "Skipped 3 image files" in record.message
    assert "tiny.png (7 x 7 pixels, a side under 8)" in record.message
    assert "cut.png (" in record.message
    assert "text.jpg (cannot identify image file" in record.message


def test_long_list_of_bad_files_is_capped(tmp_path, caplog):
    fill(tmp_path, [f"train/{i:02}.png" for i in range(25)], side=4)
    fill(tmp_path, ["train/good.png", "test/good.png"])
    open_split(tmp_path, "train")
    assert "Skipped 25 image files" in caplog.text
    assert "09.png" in caplog.text
    assert "10.png" not in caplog.text
    assert "and 15 more" in caplog.text


def test_other_and_hidden_files_are_passed_over(tmp_path, caplog):
    fill(tmp_path, ["train/a.png", "train/.b.png", "test/a.png"])
    (tmp_path / "train/classes.txt").write_text("cat")
    assert len(open_split(tmp_path, "train")) == 1
    assert not caplog.records


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"`source` must be an existing folder.*nowhere"
    ):
        open_split(tmp_path / "nowhere", "train")


def test_folder_without_a_usable_image_is_refused(tmp_path):
    fill(tmp_path, ["train/a.png", "train/b.png", "test/a.png"], side=7)
    with pytest.raises(ValueError, match=r"`source` must hold .*'train'.*none of 2"):
        open_split(tmp_path, "train")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`source` must hold .*none of 0"):
        open_split(tmp_path, "train")
