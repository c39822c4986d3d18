import pytest

from carafe_jax.files import write_whole


def test_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "folder" / "table.csv"
    for text in ("first", "second"):
        with write_whole(path) as partial:
            partial.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_file_stays_as_it_was_where_writing_raises(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("first")

    def write():
        with write_whole(path) as partial:
            partial.write_text("sec")
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write()
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
