import pathlib

import pytest

from carafe_jax.data import list_images
from carafe_jax.data.sources.folder import (
    folder_names,
    image_names,
    open_image_files,
)
from carafe_jax.errors import RefusedError
from tests.data.sources.pictures import write


def touch(folder: pathlib.Path, *names: str) -> pathlib.Path:
    """Make empty files: listing opens none."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_files_are_listed_in_any_nesting_by_their_suffix(tmp_path):
    touch(tmp_path, "b/c/0.PNG", "b/1.jpeg", "a.webp", "classes.txt", "b/none")
    assert image_names(tmp_path) == ["a.webp", "b/1.jpeg", "b/c/0.PNG"]


def test_hidden_names_are_passed_over(tmp_path):
    touch(
        tmp_path, "a/0.png", "a/.1.png", ".b/2.png", "__MACOSX/a/._0.png", "a/.c/3.png"
    )
    assert image_names(tmp_path) == ["a/0.png"]
    assert folder_names(tmp_path) == ("a",)


def test_folder_below_a_hidden_one_is_listed(tmp_path):
    root = touch(tmp_path / ".cache", "a/0.png")
    assert image_names(root) == ["a/0.png"]


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "elsewhere", "deep/0.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert image_names(tmp_path / "root") == ["link/deep/0.png"]
    assert folder_names(tmp_path / "root") == ("link",)


def test_circles_of_links_come_to_an_end(tmp_path):
    touch(tmp_path, "a/0.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "itself").symlink_to(tmp_path / "a")
    assert image_names(tmp_path) == ["a/0.png"]


def test_links_that_lead_up_are_passed_over(tmp_path):
    root = touch(tmp_path, "0.png", "set/1.png", "photos/a/2.png") / "photos"
    (root / "loop").symlink_to("..")
    (root / "a" / "far").symlink_to(tmp_path.parent)
    assert image_names(root) == ["a/2.png"]
    assert folder_names(root) == ("a",)
    assert list_images(root) == [root / "a/2.png"]
    (tmp_path / "alias").symlink_to(root)
    assert image_names(tmp_path / "alias") == ["a/2.png"]


def test_linked_folder_does_not_lead_up_either(tmp_path):
    touch(tmp_path, "other/0.png", "other/set/1.png", "root/2.png")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "other" / "set")
    (tmp_path / "other" / "set" / "up").symlink_to("..")
    assert image_names(tmp_path / "root") == ["2.png", "link/1.png"]


def test_folder_that_is_linked_keeps_its_own_name(tmp_path):
    touch(tmp_path, "z/0.png")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").symlink_to(tmp_path / "z")
    assert image_names(tmp_path) == ["z/0.png"]


def test_opened_files_have_their_paths_as_names(tmp_path):
    write(tmp_path, ["train/0.png", "val/1.png"])
    files = open_image_files(tmp_path, split="test", test_fraction=0.1)
    assert len(files) == 1
    assert files.name(0) == str(tmp_path / "val" / "1.png")
    with files.open(0) as image:
        assert image.getpixel((0, 0)) == (1, 0, 0)


def test_opening_reads_no_file(tmp_path):
    touch(tmp_path, "train/0.png", "test/1.png")
    assert len(open_image_files(tmp_path, split="train", test_fraction=0.1)) == 1


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="`source` must be an existing folder, got"):
        open_image_files(tmp_path / "no", split="train", test_fraction=0.1)


@pytest.mark.parametrize(("split", "fraction"), [("train", 0.999), ("test", 0.001)])
def test_one_file_cannot_be_split(tmp_path, split, fraction):
    touch(tmp_path, "0.png")
    with pytest.raises(
        RefusedError,
        match="`source` must hold at least two images, one of them for the test, got "
        r".* with one\.$",
    ):
        open_image_files(tmp_path, split=split, test_fraction=fraction)


def test_folder_without_files_for_a_part_is_refused(tmp_path):
    touch(tmp_path, "train/0.png", "test/notes.txt")
    with pytest.raises(RefusedError, match="`source` must hold image files for 'test'"):
        open_image_files(tmp_path, split="test", test_fraction=0.001)


def test_images_of_a_file_are_the_file_itself(tmp_path):
    touch(tmp_path, "a/0.png", "1.png")
    assert list_images(tmp_path) == [tmp_path / "1.png", tmp_path / "a/0.png"]
    assert list_images(tmp_path / "1.png") == [tmp_path / "1.png"]


def test_nothing_to_list_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="`images` must exist"):
        list_images(tmp_path / "no")
    with pytest.raises(RefusedError, match="`images` must hold an image"):
        list_images(tmp_path)


def test_refusal_names_the_argument(tmp_path):
    with pytest.raises(RefusedError, match="`mask` must exist"):
        list_images(tmp_path / "no", argument="mask")
    with pytest.raises(RefusedError, match="`mask` must hold an image"):
        list_images(tmp_path, argument="mask")
