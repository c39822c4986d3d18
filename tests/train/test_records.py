"""Records of a run: reading them back, and damaged lines."""

import errno
import os
from typing import Any

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train.records import Records

HEADER = b"step,split,name,value\r\n"


def reopened(workdir, *, step=10):
    records = Records(workdir, step=step)
    records.close()
    return (workdir / "scalars.csv").read_bytes()


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (b"x,train,loss,1\r\n", 2),
        (b"4,train\r\n", 2),
        (b"4,train,loss,high\r\n", 2),
        (b"3,train,loss,1\r\n4,train,loss,1,2\r\n", 3),
        (b"4,train,loss,1\r\n\0\0\0\0,train,loss,1\r\n", 3),
        (b"4,train,loss,1\r\n\0\0\0\0\0\0", 3),
        (b"4,train,loss,0.5\r\n5,train,lo", 3),
        # The number is cut off; it may have been 0.51.
        (b"4,train,loss,0.5\r\n5,train,loss,0.", 3),
        (b'4,train,"loss,1\r\n', 2),
        (b"4,\xff,loss,1\r\n", 2),
        (b"4,train,loss,1\r\n\r\n5,train,loss,1\r\n", 3),
    ],
)
def test_damaged_line_is_named_with_advice(tmp_path, rows, line):
    path = tmp_path / "scalars.csv"
    path.write_bytes(HEADER + rows)
    error = rf"scalars\.csv is damaged in line {line}: .* Delete that line"
    with pytest.raises(RefusedError, match=error):
        Records(tmp_path, step=10)
    assert path.read_bytes() == HEADER + rows


@pytest.mark.parametrize("content", [b"a,b\r\n1,2\r\n", b"4,train,loss,1\r\n", b"\0"])
def test_file_of_other_columns_is_refused(tmp_path, content):
    (tmp_path / "scalars.csv").write_bytes(content)
    with pytest.raises(RefusedError, match=r"line 1: .*step,split,name,value"):
        Records(tmp_path, step=10)


def test_file_that_a_spreadsheet_saved_is_continued_without_its_mark(tmp_path):
    rows = b"4,train,loss,0.1\r\n"
    (tmp_path / "scalars.csv").write_bytes(b"\xef\xbb\xbf" + HEADER + rows)
    assert reopened(tmp_path) == HEADER + rows


def test_empty_file_is_started_again(tmp_path):
    (tmp_path / "scalars.csv").touch()
    assert reopened(tmp_path) == HEADER


def test_records_of_later_steps_are_deleted_and_others_unchanged(tmp_path):
    early = b'4,"a ""b""",loss,0.1\r\n9,train,loss,nan\r\n'
    path = tmp_path / "scalars.csv"
    path.write_bytes(HEADER + early + b"11,train,loss,1\r\n")
    assert reopened(tmp_path) == HEADER + early
    records = Records(tmp_path, step=10)
    records.write(12, "train", {"loss": 2.0})
    records.close()
    assert path.read_bytes() == HEADER + early + b"12,train,loss,2.0\r\n"


class FullAfter:
    """File on a disk that is full after some bytes."""

    def __init__(self, file, space):
        self._file, self._space = file, space

    def write(self, data):
        if not self._space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._file.write(data[: self._space])
        self._space -= written
        return written

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_full_disk_leaves_no_line_that_is_cut_off(tmp_path):
    path = tmp_path / "scalars.csv"
    records: Any = Records(tmp_path, step=0)
    records.write(1, "train", {"loss": 0.5, "speed": 2.0})
    before = path.read_bytes()
    records._file = FullAfter(records._file, 20)
    with pytest.raises(OSError, match=r"No space left on device: '.*scalars\.csv'"):
        records.write(2, "train", {"loss": 0.25, "speed": 2.0})
    records.close()
    assert path.read_bytes() == before
    assert reopened(tmp_path) == before
