"""Reading of weights from the files of PyTorch, safetensors and NumPy."""

import importlib
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.files import check_local


@no_type_check
def load_state_dict(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the weights of a file by name, for the converters of this package.

    Args:
      path: File, whose suffix gives its format: ".pth" or ".pt", which torch reads
        without running code from it (`weights_only=True`); ".safetensors", which
        safetensors reads; or ".npz".

    Returns:
      What the file holds: arrays or torch's tensors by name, or a checkpoint with them
      under `state_dict`.

    Raises:
      RefusedError: There is no such file, its suffix is another, it holds objects that
        are not weights, or the package that reads its format is not installed.
    """
    check_local("path", path)
    file = pathlib.Path(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise RefusedError(
            f"`path` must end with one of {', '.join(_READERS)}, got {str(path)!r}."
        )
    if not file.is_file():
        raise RefusedError(f"`path` must be a file that exists, got {str(path)!r}.")
    return reader(file)


def _read_torch(file: pathlib.Path) -> Mapping[str, Any]:
    torch = _import("torch", "torch", file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RefusedError(
            f"`path` must hold weights alone, got {str(file)!r}, with objects of other "
            "kinds. Where it comes from a source that you trust, store its weights "
            "with torch: torch.save(torch.load(PATH, weights_only=False)"
            "['state_dict'], NEW)."
        ) from error


def _read_safetensors(file: pathlib.Path) -> Mapping[str, Any]:
    return _import("safetensors.numpy", "safetensors", file).load_file(file)


def _read_npz(file: pathlib.Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RefusedError(
            f"`path` must be a file of `np.savez`, got {str(file)!r}: {error}."
        ) from error


_READERS: dict[str, Callable[[pathlib.Path], Mapping[str, Any]]] = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
}


def _import(module: str, package: str, file: pathlib.Path) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"`path` must be of a format that can be read here, got {str(file)!r}, "
            f"which needs {package}: pip install {package}"
        ) from error
