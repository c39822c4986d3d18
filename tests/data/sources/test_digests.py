"""Digests of image files."""

import pytest

from carafe_jax.data.sources import digests
from carafe_jax.data.sources.digests import digest_of_files

NAMES = ["a.png", "b/c.png", "d.png", "e\udce9.png"]


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    return tmp_path / "own"


def test_names_and_sizes_determine_the_digest(root):
    before = digest_of_files(root, NAMES)
    assert digest_of_files(root.rename(root.with_name("moved")), NAMES) == before
    root = root.with_name("moved")
    assert digest_of_files(root, NAMES[:3]) != before
    assert digest_of_files(root, ["a.png", "b/c.png", "d.png", "f.png"]) != before
    (root / "d.png").write_bytes(b"12345")
    changed = digest_of_files(root, NAMES)
    assert changed != before
    (root / "d.png").unlink()
    assert digest_of_files(root, NAMES) not in (before, changed)


def test_sizes_of_some_of_many_files_are_looked_up(root, monkeypatch):
    monkeypatch.setattr(digests, "_SIZES", 2)
    before = digest_of_files(root, NAMES)
    (root / "b/c.png").write_bytes(b"")
    assert digest_of_files(root, NAMES) == before
    assert digest_of_files(root, [NAMES[0], "b/d.png", *NAMES[2:]]) != before
    (root / NAMES[3]).write_bytes(b"")
    assert digest_of_files(root, NAMES) != before
