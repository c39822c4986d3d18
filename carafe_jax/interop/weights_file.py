"""Reading of weights from the files of PyTorch, safetensors and NumPy."""

import importlib
import os
import pathlib
import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.files import check_local


@no_type_check
def load_state_dict(
    path: str | os.PathLike[str], *, argument: str = "path"
) -> Mapping[str, Any]:
    """Return the weights of a file by name, for the converters of this package.

    Args:
      path: File, whose suffix gives its format: ".pth" or ".pt", which torch reads
        without running code from it (`weights_only=True`); ".safetensors", which
        safetensors reads; or ".npz".
      argument: Name of the argument that holds the path, for errors.

    Returns:
      What the file holds: arrays or torch's tensors by name, or a checkpoint with them
      under `state_dict`.

    Raises:
      RefusedError: There is no such file, its suffix is another, it holds objects that
        are not weights, or the package that reads its format is not installed.
    """
    check_weights_file(argument, path)
    file = pathlib.Path(path)
    return _READERS[file.suffix.lower()](file, argument)


def check_weights_file(argument: str, path: str | os.PathLike[str]) -> None:
    """Raise unless `load_state_dict` knows the format of a file, and it exists.

    Args:
      argument: Name of the argument that holds the path.
      path: File; it is not opened.

    Raises:
      RefusedError: There is no such file, or its suffix is another.
    """
    check_local(argument, path)
    file = pathlib.Path(path)
    if file.suffix.lower() not in _READERS:
        raise RefusedError(
            f"`{argument}` must end with one of {', '.join(_READERS)}, got "
            f"{str(path)!r}."
        )
    if not file.is_file():
        raise RefusedError(
            f"`{argument}` must be a file that exists, got {str(path)!r}."
        )


def _read_torch(file: pathlib.Path, argument: str) -> Mapping[str, Any]:
    torch = _import("torch", "torch", file, argument)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RefusedError(
            f"`{argument}` must hold weights alone, got {str(file)!r}, with objects of "
            "other kinds. Where it comes from a source that you trust, store its "
            "weights with torch: torch.save(torch.load(PATH, weights_only=False)"
            "['state_dict'], NEW)."
        ) from error
    # A damaged file can raise any error of torch.
    except Exception as error:
        raise _damaged(file, argument, "torch.save", _first_line(error)) from error


def _read_safetensors(file: pathlib.Path, argument: str) -> Mapping[str, Any]:
    safetensors = _import("safetensors.numpy", "safetensors", file, argument)
    try:
        return safetensors.load_file(file)
    except Exception as error:  # Its own class of errors, or any other.
        raise _damaged(file, argument, "safetensors", _first_line(error)) from error


def _read_npz(file: pathlib.Path, argument: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    with file.open("rb") as opened:
        try:
            with np.load(opened, allow_pickle=False) as arrays:
                for name in arrays.files:
                    found[name] = None  # Named in the error if it cannot be read.
                    found[name] = arrays[name]
        # Of zipfile, zlib or NumPy, which advises to unpickle a damaged file.
        except Exception as error:
            reason = "it is no archive of arrays, or an incomplete one"
            if found:
                reason = f"its array {[*found][-1]!r} is damaged, or holds no numbers"
            raise _damaged(file, argument, "np.savez", reason) from error
    return found


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _damaged(
    file: pathlib.Path, argument: str, writer: str, reason: str
) -> RefusedError:
    return RefusedError(
        f"`{argument}` must be a file of `{writer}`, got {str(file)!r}: {reason}."
    )


_READERS: dict[str, Callable[[pathlib.Path, str], Mapping[str, Any]]] = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
}


def _import(module: str, package: str, file: pathlib.Path, argument: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"`{argument}` must be of a format that can be read here, got "
            f"{str(file)!r}, which needs {package}: pip install {package}"
        ) from error
