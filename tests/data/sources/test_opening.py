import pickle

import numpy as np
import pytest
import skimage.data

from carafe_jax.data import (
    Photographs,
    PhotographsTooSmallError,
    open_labelled_images,
    open_photographs,
)
from carafe_jax.data.sources.opening import name_of_source, reads_from
from carafe_jax.errors import RefusedError
from tests.data.sources.pictures import reds, write


def all_of(photographs: Photographs) -> list[np.ndarray]:
    return [photographs[i] for i in range(len(photographs))]


def test_builtin_test_photographs_are_the_cat_and_the_rocket():
    photographs = all_of(open_photographs("builtin", split="test", minimum_side=64))
    expected = [skimage.data.chelsea(), skimage.data.rocket()]
    for photograph, original in zip(photographs, expected, strict=True):
        np.testing.assert_array_equal(photograph, original, strict=True)


def test_both_sides_of_the_motorcycle_are_for_training():
    photographs = all_of(open_photographs("builtin", split="train", minimum_side=64))
    assert len(photographs) == 6
    left, right, _ = skimage.data.stereo_motorcycle()
    for side in (left, right):
        assert sum(np.array_equal(side, photograph) for photograph in photographs) == 1


def test_builtin_photographs_are_8_bit_rgb():
    for split in ("train", "test"):
        photographs = open_photographs(
            "builtin", split=split, minimum_side=64, sufficient_side=100
        )
        for photograph in all_of(photographs):
            assert photograph.dtype == np.uint8
            assert photograph.shape[2] == 3
            assert 100 <= min(photograph.shape[:2]) < 200


def test_small_builtin_photographs_are_left_out():
    photographs = open_photographs("builtin", split="train", minimum_side=505)
    assert [photograph.shape[:2] for photograph in all_of(photographs)] == [
        *[(512, 512)] * 2,
        (600, 512),
    ]


def test_refuses_crops_larger_than_every_builtin_photograph():
    with pytest.raises(
        ValueError, match=r"`minimum_side` must be at most 427, .* got 428"
    ):
        open_photographs("builtin", split="test", minimum_side=428)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"source": ""}, "`source` must be 'builtin', .* got ''"),
        ({"source": None}, "`source` must be 'builtin', .* got None"),
        ({"minimum_side": 0}, "`minimum_side` must be positive, got 0"),
        ({"sufficient_side": 63}, "`sufficient_side` must be at least .*64, got 63"),
    ],
)
def test_refuses_invalid_arguments(kwargs, message):
    arguments = {"source": "builtin", "split": "test", "minimum_side": 64} | kwargs
    with pytest.raises(ValueError, match=message):
        open_photographs(**arguments)


def test_builtin_photographs_have_names():
    photographs = open_photographs("builtin", split="test", minimum_side=64)
    assert [photographs.name(i) for i in range(2)] == [
        "skimage.data.chelsea",
        "skimage.data.rocket",
    ]


def test_photographs_come_in_the_order_of_their_paths(tmp_path):
    names = ["train/b/0.png", "train/a/1.png", "train/2.png", "test/3.png"]
    folder = write(tmp_path, names)
    photographs = open_photographs(str(folder), split="train", minimum_side=8)
    assert isinstance(photographs, Photographs)
    assert reds(photographs) == [2, 1, 0]


def test_source_may_be_a_path(tmp_path):
    write(tmp_path, ["train/a/0.png", "test/a/1.png"])
    for source in (tmp_path, str(tmp_path)):
        photographs = open_photographs(source, split="train", minimum_side=8)
        images = open_labelled_images(source, split="train")
        assert (len(photographs), images.classes) == (1, ("a",))
        assert name_of_source(source) == tmp_path.name


@pytest.mark.parametrize("source", ["", None, 5])
def test_source_that_is_no_name_or_path_is_refused(source):
    with pytest.raises(RefusedError, match=f"be 'tfds:NAME' or .* got {source!r}"):
        open_labelled_images(source, split="train")


def test_opening_a_folder_reads_no_file(tmp_path):
    write(tmp_path, ["train/0.png", "test/1.png"])
    (tmp_path / "train/1.jpg").write_text("no image")
    photographs = open_photographs(str(tmp_path), split="train", minimum_side=8)
    assert len(photographs) == 2


def test_error_of_small_photographs_survives_pickling():
    error = PhotographsTooSmallError(500, 427)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.largest) == (str(error), 427)


@pytest.mark.parametrize(
    ("files", "folder", "reads"),
    [
        (["0.png"], ".", True),
        (["0.png"], "runs/one", True),
        (["0.png"], "a/../../data/runs", True),
        (["0.png"], "..", False),
        (["0.png"], "../runs", False),
        (["0.png"], "../data2", False),
        (["train/0.png", "val/0.png"], ".", True),
        (["train/0.png", "val/0.png"], "val/a", True),
        (["train/0.png", "val/0.png"], "runs/one", False),
        (["annotations/0.png", "train2017/0.png"], "annotations", True),
        (["annotations/0.png", "train2017/0.png"], "train2017/a", True),
        (["annotations/0.png", "images/train/0.png"], "images/train", True),
        (["annotations/0.png", "train/0.png"], "runs", False),
    ],
)
def test_folders_that_a_source_reads_from_are_known(tmp_path, files, folder, reads):
    root = write(tmp_path / "data", files)
    (tmp_path / "link").symlink_to(root)
    assert reads_from(root, root / folder) is reads
    assert reads_from(tmp_path / "link", root / folder) is reads
    assert not reads_from("builtin", root / folder)
    assert not reads_from("tfds:data", root / folder)
    assert not reads_from(tmp_path / "typo", tmp_path / "typo")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("builtin", "builtin"),
        ("tfds:imagenette/160px-v2", "tfds:imagenette/160px-v2"),
        ("/mnt/a/landscapes/", "landscapes"),
        ("~/landscapes", "landscapes"),
        ("../x/../landscapes", "landscapes"),
    ],
)
def test_name_of_a_folder_does_not_depend_on_its_parent(source, name):
    assert name_of_source(source) == name
