"""Arrays that worker processes share instead of receiving copies."""

import contextlib
import dataclasses
import math
import os
import pathlib
import tempfile
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

# Smaller arrays are pickled: a file for each would cost more.
_SHARED_BYTES = 2**18
_ALIGNMENT = 8


class SharedArrays:
    """Read-only arrays by name, pickled as the name of a memory-mapped file.

    The first pickling writes the arrays to a temporary file, which the process that
    wrote it deletes when it ends, or earlier when the object is garbage. Pickles are
    therefore valid only on the same machine, and as long as that process lives, as
    those for its worker processes are. Without pickling, no file is written. Arrays of
    less than 256 KiB together are pickled themselves.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Store the arrays, and make them read-only."""
        self._arrays = dict(arrays)
        for array in self._arrays.values():
            array.setflags(write=False)
        self._file: pathlib.Path | None = None
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    @property
    def nbytes(self) -> int:
        """Size of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())

    def __reduce__(self) -> tuple[Any, ...]:
        if self.nbytes < _SHARED_BYTES:
            return SharedArrays, (self._arrays,)
        with self._lock:
            if self._file is None:
                self._file = self._write()
        layout = {name: _Place.of(x) for name, x in self._arrays.items()}
        return _map, (os.fspath(self._file), layout)

    def _write(self) -> pathlib.Path:
        handle, name = tempfile.mkstemp(prefix="carafe_jax_", suffix=".arrays")
        weakref.finalize(self, _remove, name, os.getpid())
        with os.fdopen(handle, "wb") as file:
            for array in self._arrays.values():
                np.ascontiguousarray(array).tofile(file)
                file.write(bytes(-array.nbytes % _ALIGNMENT))
        return pathlib.Path(name)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Type and shape of an array in the file, where one follows the other."""

    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: np.ndarray) -> "_Place":
        return cls(array.dtype.str, array.shape)


def _map(name: str, layout: Mapping[str, _Place]) -> SharedArrays:
    """Map the arrays of a file that another process wrote."""
    arrays: dict[str, np.ndarray] = {}
    offset = 0
    content = np.memmap(name, np.uint8, mode="r")
    for key, place in layout.items():
        size = np.dtype(place.dtype).itemsize * math.prod(place.shape)
        part = np.asarray(content[offset : offset + size])
        arrays[key] = part.view(place.dtype).reshape(place.shape)
        offset += size + -size % _ALIGNMENT
    shared = SharedArrays(arrays)
    shared._file = pathlib.Path(name)
    return shared


def _remove(name: str, process: int) -> None:
    # A forked child inherits the object, and must not delete its parent's file.
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            os.unlink(name)
