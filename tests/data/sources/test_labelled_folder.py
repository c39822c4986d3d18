import pytest

from carafe_jax.data import LabelledImages, open_labelled_images
from carafe_jax.errors import RefusedError
from tests.data.sources.pictures import write


def labels(images: LabelledImages) -> dict[str, int]:
    found = {}
    for index in range(len(images)):
        image, label = images.open(index)
        image.close()
        found[images.name(index)] = label
    return found


def test_classes_are_numbered_by_their_names(tmp_path):
    write(tmp_path, ["train/b/0.png", "train/a/1.png", "val/b/2.png"])
    train = open_labelled_images(str(tmp_path), split="train")
    assert train.classes == ("a", "b")
    assert labels(train) == {
        str(tmp_path / "train/a/1.png"): 0,
        str(tmp_path / "train/b/0.png"): 1,
    }
    test = open_labelled_images(str(tmp_path), split="test")
    assert test.classes == ("a", "b")
    assert labels(test) == {str(tmp_path / "val/b/2.png"): 1}


def test_sub_folders_are_classes_where_nothing_is_split(tmp_path):
    write(tmp_path, [f"{name}/{i}.png" for name in ("b", "a") for i in range(5)])
    parts = [open_labelled_images(str(tmp_path), split=s) for s in ("train", "test")]
    found = labels(parts[0]) | labels(parts[1])
    assert len(parts[0]) + len(parts[1]) == len(found) == 10
    assert parts[0].classes == parts[1].classes == ("a", "b")
    assert found[str(tmp_path / "b/3.png")] == 1


def test_classes_and_files_are_walked_alike(tmp_path):
    write(tmp_path, ["train/a/0.png", "train/.b/1.png", "train/__MACOSX/2.png"])
    write(tmp_path, ["elsewhere/deep/0.png", "val/a/0.png"])
    (tmp_path / "train/c").symlink_to(tmp_path / "elsewhere")
    train = open_labelled_images(str(tmp_path), split="train")
    assert train.classes == ("a", "c")
    assert list(labels(train).values()) == [0, 1]


def test_files_without_a_class_are_skipped(tmp_path):
    write(tmp_path, ["train/0.png", "train/a/1.png", "val/a/2.png"])
    assert len(open_labelled_images(str(tmp_path), split="train")) == 1


def test_class_that_is_only_tested_is_refused(tmp_path):
    write(tmp_path, ["train/a/0.png", "val/a/0.png", "val/moon/0.png"])
    with pytest.raises(RefusedError, match="train folder as well, got none of 'moon'"):
        open_labelled_images(str(tmp_path), split="test")


def test_train_alone_is_no_class(tmp_path):
    write(tmp_path, ["train/a/0.png", "train/b/1.png"])
    with pytest.raises(RefusedError, match="`val`, `validation` or `test` beside"):
        open_labelled_images(str(tmp_path), split="train")


def test_folder_without_classes_is_refused(tmp_path):
    write(tmp_path, ["train/0.png", "val/1.png"])
    with pytest.raises(RefusedError, match=r"`source` must hold images in '.*CLASS'"):
        open_labelled_images(str(tmp_path), split="train")


def test_refuses_no_source():
    with pytest.raises(RefusedError, match=r"`source` must be 'tfds:NAME' .* got ''"):
        open_labelled_images("", split="train")


def test_link_to_another_class_is_no_class_and_is_logged(tmp_path, caplog):
    write(tmp_path, ["train/cat/0.png", "train/owl/1.png", "val/cat/2.png"])
    (tmp_path / "train" / "a").symlink_to(tmp_path / "train" / "owl")
    (tmp_path / "train" / "empty").mkdir()
    train = open_labelled_images(str(tmp_path), split="train")
    assert train.classes == ("cat", "owl")
    assert list(labels(train).values()) == [0, 1]
    assert "not classes: 'a', 'empty'." in caplog.text


def test_number_of_images_without_a_class_is_logged(tmp_path, caplog):
    write(tmp_path, ["train/0.png", "train/1.png", "train/a/1.png", "val/a/2.png"])
    open_labelled_images(str(tmp_path), split="train")
    assert "are skipped: 2." in caplog.text


def test_classes_do_not_depend_on_the_split(tmp_path):
    write(tmp_path, ["Train/a/0.png", "Train/b/1.png", "Val/b/2.png"])
    (tmp_path / "Val" / "c").mkdir()
    for split in ("train", "test"):
        images = open_labelled_images(str(tmp_path), split=split)
        assert images.classes == ("a", "b")
