import errno
import logging
import os

import pytest

from carafe_jax.data.sources.walk import image_names
from tests.data.sources.pictures import touch


def test_files_are_listed_in_any_nesting_by_their_suffix(tmp_path):
    touch(tmp_path, "b/c/0.PNG", "b/1.jpeg", "a.webp", "classes.txt", "b/none")
    assert image_names(tmp_path) == ["a.webp", "b/1.jpeg", "b/c/0.PNG"]


def test_folder_below_a_hidden_one_is_listed(tmp_path):
    root = touch(tmp_path / ".cache", "a/0.png")
    assert image_names(root) == ["a/0.png"]


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "elsewhere", "deep/0.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert image_names(tmp_path / "root") == ["link/deep/0.png"]


def test_cycles_of_links_end(tmp_path):
    touch(tmp_path, "a/0.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "itself").symlink_to(tmp_path / "a")
    assert image_names(tmp_path) == ["a/0.png"]


def test_links_to_parent_folders_are_skipped(tmp_path):
    root = touch(tmp_path, "0.png", "set/1.png", "photos/a/2.png") / "photos"
    (root / "loop").symlink_to("..")
    (root / "a" / "far").symlink_to(tmp_path.parent)
    assert image_names(root) == ["a/2.png"]
    (tmp_path / "alias").symlink_to(root)
    assert image_names(tmp_path / "alias") == ["a/2.png"]


def test_link_to_the_parent_of_a_linked_folder_is_skipped(tmp_path):
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


def test_hidden_and_system_files_are_skipped_and_counted_in_one_line(tmp_path, caplog):
    touch(
        tmp_path,
        *("a/0.png", "a/.1.png", "a/._0.png", ".DS_Store", "a/Thumbs.db"),
        *("a/.ipynb_checkpoints/0-checkpoint.png", ".Trashes/1.png"),
        *("__MACOSX/a/0.png", "a/@eaDir/0.png/THUMB.jpg", "$RECYCLE.BIN/2.jpg"),
    )
    os.mkfifo(tmp_path / "a" / "pipe.png")
    with caplog.at_level(logging.INFO):
        assert image_names(tmp_path) == ["a/0.png"]
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped in {str(tmp_path)!r}: "
        "files of other kinds: 1 (such as 'a/Thumbs.db'), "
        "hidden files: 3 (such as '.DS_Store'), "
        "hidden folders: 2 (such as '.Trashes'), "
        "pipes and devices: 1 (such as 'a/pipe.png'), "
        "system folders: 3 (such as '$RECYCLE.BIN')."
    ]
    assert caplog.records[0].levelno == logging.INFO


def test_no_line_is_logged_where_nothing_is_skipped(tmp_path, caplog):
    touch(tmp_path, "a/0.png")
    with caplog.at_level(logging.INFO):
        image_names(tmp_path)
    assert not caplog.records


@pytest.mark.parametrize("target", ["nowhere.png", "link.png"])
def test_broken_links_are_a_warning(tmp_path, target, caplog):
    touch(tmp_path, "0.png")
    (tmp_path / "link.png").symlink_to(target)
    assert image_names(tmp_path) == ["0.png"]
    assert "broken links: 1 (such as 'link.png')" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_folders_that_cannot_be_read_are_a_warning(tmp_path, caplog, monkeypatch):
    # Not by `chmod`: the administrator may read everything.
    touch(tmp_path, "a/0.png", "closed/1.png")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert image_names(tmp_path) == ["a/0.png"]
    assert "folders that cannot be read: 1 (such as 'closed')" in caplog.text


def test_linked_files_are_listed_once_and_by_their_own_path_first(tmp_path, caplog):
    root = touch(tmp_path, "pool/1.png", "pool/blob", "root/z/0.png") / "root"
    for name, target in {
        "a/0.png": root / "z" / "0.png",
        "a/1.png": tmp_path / "pool" / "1.png",
        "b/1.png": tmp_path / "pool" / "1.png",
        "b/2.png": tmp_path / "pool" / "blob",
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(target)
    with caplog.at_level(logging.INFO):
        assert image_names(root) == ["a/1.png", "b/2.png", "z/0.png"]
    assert "duplicate links: 2 (such as 'a/0.png')" in caplog.text


def test_linked_file_in_a_hidden_folder_of_the_root_is_listed(tmp_path):
    touch(tmp_path, ".git/annex/0.png", "a/1.png")
    (tmp_path / "a" / "0.png").symlink_to(tmp_path / ".git/annex/0.png")
    assert image_names(tmp_path) == ["a/0.png", "a/1.png"]


def test_folders_that_link_to_each_other_are_listed_once(tmp_path):
    touch(tmp_path, "one/1.png", "two/2.png", "root/0.png")
    (tmp_path / "one" / "two").symlink_to(tmp_path / "two")
    (tmp_path / "two" / "one").symlink_to(tmp_path / "one")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "two")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "one")
    assert image_names(tmp_path / "root") == ["0.png", "a/1.png", "b/2.png"]


def test_names_that_are_no_utf_8_are_listed(tmp_path, caplog):
    touch(tmp_path, "caf\udce9.png", "\udce9/0.png", "\udce9.txt")
    with caplog.at_level(logging.INFO):
        assert image_names(tmp_path) == ["caf\udce9.png", "\udce9/0.png"]
    assert r"(such as '\udce9.txt')" in caplog.text
    caplog.text.encode()  # It can be printed.
