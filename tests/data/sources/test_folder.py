import pytest

from carafe_jax.data import list_images
from carafe_jax.data.sources.folder import open_image_files
from carafe_jax.errors import RefusedError
from tests.data.sources.pictures import touch, write


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


def test_one_photograph_is_no_source(tmp_path):
    touch(tmp_path, "0.png")
    error = "`source` must be a folder, .* got the file .*0.png.* give that folder"
    with pytest.raises(RefusedError, match=error):
        open_image_files(tmp_path / "0.png", split="train", test_fraction=0.1)


@pytest.mark.parametrize(("split", "fraction"), [("train", 0.999), ("test", 0.001)])
def test_one_file_cannot_be_split(tmp_path, split, fraction):
    touch(tmp_path, "0.png")
    with pytest.raises(
        RefusedError,
        match="`source` must hold at least two images, one of them for the test, got "
        r".* with one\.$",
    ):
        open_image_files(tmp_path, split=split, test_fraction=fraction)


def test_folder_without_files_for_a_split_is_refused(tmp_path):
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


def test_split_folders_may_begin_in_upper_case(tmp_path):
    touch(tmp_path, "Train/0.png", "VAL/1.PNG", "test/2.png")
    found = [
        open_image_files(tmp_path, split=split, test_fraction=0.1)
        for split in ("train", "test")
    ]
    assert [files.names for files in found] == [("0.png",), ("1.PNG",)]


def test_name_that_is_no_utf_8_is_escaped_in_messages(tmp_path):
    touch(tmp_path, "train/caf\udce9.png", "val/0.png")
    files = open_image_files(tmp_path, split="train", test_fraction=0.1)
    assert files.name(0) == str(tmp_path / r"train/caf\xe9.png")
