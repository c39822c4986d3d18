"""Photographs that are found, the files that are deleted, and reasons of failures."""

import os
import pathlib

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.photograph_files import (
    delete_outputs,
    file_fingerprint,
    find_photographs,
    with_path,
)
from tests.tasks.photograph_files import files_of, save

PHOTOGRAPH = pathlib.Path("photos/a.png")


def test_reason_that_quotes_its_photograph_is_kept():
    reason = "cannot read 'photos/a.png': it is empty"
    assert with_path(PHOTOGRAPH, reason) == reason


def test_reason_with_an_output_of_an_equal_path_gets_its_photograph():
    reason = "its label map would be out/photos/a.png"
    assert with_path(PHOTOGRAPH, reason) == f"photos/a.png: {reason}"


def test_fingerprints_differ_by_size_and_by_time(tmp_path):
    path = tmp_path / "a.png"
    found = []
    for content, time in ((b"one", 1), (b"three", 1), (b"three", 2)):
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        found.append(file_fingerprint(path))
    assert len({*found, file_fingerprint(tmp_path / "none.png")}) == 4
    assert found[-1] == file_fingerprint(path)


@pytest.mark.parametrize("output", [".", "photos"])
def test_a_given_file_in_the_output_folder_is_refused(
    tmp_path, tmp_path_factory, output
):
    photograph = save(tmp_path / "photos" / "a.png")
    elsewhere = save(tmp_path_factory.mktemp("more") / "b.png")
    with pytest.raises(RefusedError, match="`output` must be another folder") as error:
        find_photographs([elsewhere, photograph], output=tmp_path / output)
    assert f"which holds {str(photograph)!r}." in str(error.value)


def test_an_output_folder_that_holds_all_photographs_is_refused(tmp_path):
    photograph = save(tmp_path / "photos" / "a.png")
    with pytest.raises(RefusedError, match="`output` must be another folder") as error:
        find_photographs([tmp_path / "photos"], output=tmp_path)
    assert f"holds all of them, such as {str(photograph)!r}" in str(error.value)


def test_photographs_folders_and_protected_files_are_no_outputs_to_delete(
    tmp_path, monkeypatch
):
    photograph, other = (save(tmp_path / "photos" / f"{name}.png") for name in "ab")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "linked").symlink_to(tmp_path / "photos")
    (tmp_path / "out" / "folder").mkdir()
    outputs = [tmp_path / "out" / name for name in ("new", "old", "folder", "kept")]
    for path in outputs[1], outputs[3]:
        path.touch()
    monkeypatch.setattr(os, "access", lambda path, *_: not str(path).endswith("kept"))
    linked = tmp_path / "out" / "linked" / "b.png"
    delete_outputs({photograph: [*outputs, photograph], other: [linked]})
    assert files_of(tmp_path / "photos") == {"a.png", "b.png"}
    assert files_of(tmp_path / "out") >= {"kept"}
    assert not outputs[1].exists()
    assert outputs[2].is_dir()
