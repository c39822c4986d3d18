"""Reading of weights from files."""

import pickle
import sys
import types

import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import load_state_dict

NO_ARCHIVE = (
    r"must be a file of `np\.savez`, got '.*': it is no archive of arrays, or an "
    r"incomplete one\.$"
)
ARRAYS = {"conv.weight": np.arange(6.0).reshape(3, 2), "conv.bias": np.zeros(3)}


def provide(monkeypatch, module, **functions):
    """Let a package that the tests do without be importable."""
    made = types.ModuleType(module)
    made.__dict__.update(functions)
    monkeypatch.setitem(sys.modules, module.partition(".")[0], made)
    monkeypatch.setitem(sys.modules, module, made)


def test_arrays_of_an_npz_are_returned_by_name(tmp_path):
    np.savez(tmp_path / "weights.npz", **ARRAYS)
    loaded = load_state_dict(tmp_path / "weights.npz")
    assert set(loaded) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("name", ["weights.PTH", "weights.pt"])
def test_torch_reads_its_own_files_without_running_their_code(
    name, tmp_path, monkeypatch
):
    calls = []

    def load(path, **keywords):
        calls.append((path, keywords))
        return {"state_dict": ARRAYS}

    provide(monkeypatch, "torch", load=load)
    (tmp_path / name).write_bytes(b"")
    assert load_state_dict(str(tmp_path / name)) == {"state_dict": ARRAYS}
    assert calls == [(tmp_path / name, {"map_location": "cpu", "weights_only": True})]


def test_checkpoint_with_other_objects_is_refused_with_a_way_out(tmp_path, monkeypatch):
    def load(path, **keywords):
        raise pickle.UnpicklingError("Unsupported global")

    provide(monkeypatch, "torch", load=load)
    (tmp_path / "run.pth").write_bytes(b"")
    with pytest.raises(RefusedError, match=r"must hold weights alone.*torch\.save"):
        load_state_dict(tmp_path / "run.pth")


def test_safetensors_reads_its_own_files(tmp_path, monkeypatch):
    provide(monkeypatch, "safetensors.numpy", load_file=lambda path: ARRAYS)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    assert load_state_dict(tmp_path / "weights.safetensors") is ARRAYS


@pytest.mark.parametrize(
    ("module", "name", "suffix"),
    [("torch", "load", "pth"), ("safetensors.numpy", "load_file", "safetensors")],
)
def test_damaged_file_is_refused_with_its_reason(
    module, name, suffix, tmp_path, monkeypatch
):
    def fail(path, **keywords):
        raise RuntimeError("failed finding central directory\nin a zip")

    provide(monkeypatch, module, **{name: fail})
    (tmp_path / f"cut.{suffix}").write_bytes(b"")
    message = (
        r"`start\.weights` must be a file of .*cut.*: failed finding .*directory\.$"
    )
    with pytest.raises(RefusedError, match=message):
        load_state_dict(tmp_path / f"cut.{suffix}", argument="start.weights")


@pytest.mark.parametrize(
    ("suffix", "package"), [("pth", "torch"), ("safetensors", "safetensors")]
)
def test_package_that_is_missing_is_named(suffix, package, tmp_path, monkeypatch):
    # None in its place makes an import fail.
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"weights.{suffix}").write_bytes(b"")
    message = rf"weights\.{suffix}', which needs {package}: pip install {package}"
    with pytest.raises(RefusedError, match=message):
        load_state_dict(tmp_path / f"weights.{suffix}")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("weights.h5", b"", r"must end with one of \.pth, \.pt, .*weights\.h5'"),
        ("weights", b"", "must end with one of"),
        ("absent.npz", None, r"must be a file that exists, got '.*absent\.npz'"),
        ("empty.npz", b"", NO_ARCHIVE),
        ("text.npz", b"weights", NO_ARCHIVE),
        ("cut.npz", b"PK\x03\x04weights", NO_ARCHIVE),
        ("pickle.npz", pickle.dumps(ARRAYS), NO_ARCHIVE),
    ],
)
def test_other_files_are_refused(name, content, words, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RefusedError, match=f"`path` {words}"):
        load_state_dict(tmp_path / name)


def test_url_is_refused():
    with pytest.raises(RefusedError, match="`path` must be a path of the file system"):
        load_state_dict("https://download.openmmlab.com/weights.pth")


def test_array_of_other_objects_is_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", **ARRAYS, names=np.array([None], object))
    words = r"`path` must be .*: its array 'names' is damaged, or holds no numbers\.$"
    with pytest.raises(RefusedError, match=words):
        load_state_dict(tmp_path / "objects.npz")


def test_array_with_damaged_bytes_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, weight=np.arange(999.0))
    content = bytearray(path.read_bytes())
    content[60:200] = bytes(140)
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"its array 'weight' is damaged, .*\.$"):
        load_state_dict(path)
