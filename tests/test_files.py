import errno
import functools
import os
import pathlib
import re

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.files import (
    check_folder,
    check_local,
    check_new,
    locked,
    write_atomically,
)


def test_file_is_replaced_once_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "table.csv"
    for text in ("first", "second"):
        with write_atomically(path) as partial:
            partial.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_file_is_unchanged_if_writing_raises(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("first")

    def write():
        with write_atomically(path) as partial:
            partial.write_text("sec")
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write()
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_locks_gets_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / "rows.csv"):
        assert ".rows.csv.lock cannot be locked (Operation not supp" in caplog.text
        assert "make sure that no other process writes to" in caplog.text


def test_names_of_maximal_length_are_written(tmp_path):
    path = tmp_path / f"{'x' * 251}.png"
    with write_atomically(path) as partial:
        partial.write_text("whole")
    assert path.read_text() == "whole"


def test_outputs_are_overwritten_only_on_request(tmp_path):
    path = tmp_path / "out"
    check_new("output", path, overwrite=False)
    path.touch()
    with pytest.raises(ValueError, match=r"`output` must not exist.* --overwrite"):
        check_new("output", path, overwrite=False)
    check_new("output", path, overwrite=True)
    with pytest.raises(ValueError, match="`output` must be a file, got the folder"):
        check_new("output", tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("path", "shown", "advice"),
    [
        ("gs://bucket/run", "gs://bucket/run", "Cloud Storage FUSE"),
        (pathlib.Path("gs://bucket/run"), "gs://bucket/run", "Cloud Storage FUSE"),
        ("s3://bucket", "s3://bucket", "Mountpoint for Amazon S3"),
        ("file:///photos", "file:///photos", "Leave the 'file://' out"),
        (pathlib.Path("memory://run"), "memory://run", "Mount or copy"),
        ("abfs+x.1://a", "abfs+x.1://a", "Mount or copy"),
    ],
)
def test_url_is_refused_with_advice(path, shown, advice):
    error = f"`model` must be a path of the file system, got {shown!r}. "
    with pytest.raises(RefusedError, match=re.escape(error) + f".*{advice}"):
        check_local("model", path)


@pytest.mark.parametrize(
    "path", ["runs/mine", "/a:/b", "./gs:/a", "gs:", "a:b/c", "C:/a", "tfds:mnist", ""]
)
def test_local_path_is_accepted(path):
    check_local("model", path)


def test_unwritable_path_is_refused_by_the_name_of_its_argument(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match=r"must be in a folder, got .*/file'"):
        check_new("output", tmp_path / "file" / "deep" / "out.png", overwrite=True)
    check_folder("output", tmp_path / "new" / "deep")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RefusedError, match="`output` must be in a folder that may be"):
        check_new("output", tmp_path / "new" / "out.png", overwrite=False)


@pytest.mark.parametrize("path", ["y" * 300, f"new/{'y' * 300}", "new/" * 1500 + "y"])
def test_paths_that_are_too_long_are_refused(tmp_path, path):
    for check_output in (functools.partial(check_new, overwrite=True), check_folder):
        with pytest.raises(RefusedError, match="`output` must be a path of shorter"):
            check_output("output", tmp_path / path)
    check_new("output", tmp_path / "new" / f"{'y' * 251}.png", overwrite=False)


def test_a_protected_file_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    path.touch()
    monkeypatch.setattr(os, "access", lambda name, *_: name != path)
    with pytest.raises(RefusedError, match="`output` must be a file that may be"):
        check_new("output", path, overwrite=True)


def test_errors_of_writing_name_the_final_path(tmp_path):
    def write():
        with write_atomically(tmp_path / "folder" / "out.png") as partial:
            partial.parent.rmdir()
            partial.write_text("nowhere")

    with pytest.raises(OSError, match=r"/out.png'$"):
        write()
