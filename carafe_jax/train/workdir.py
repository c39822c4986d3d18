"""The folder of a run: which paths are allowed, and a lock against a second run."""

import contextlib
import functools
import logging
import os
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from carafe_jax.errors import RefusedError
from carafe_jax.files import check_local
from carafe_jax.train.processes import refused_by_all

try:
    import fcntl
except ImportError:  # Not on Windows, where a folder is not locked.
    fcntl = None

_LOGGER = logging.getLogger(__name__)
_LOCK = "run.lock"
_HELD: dict[pathlib.Path, int] = {}
"""Threads that train, by folder. A lock file is open once in a process."""
_OPEN: set[int] = set()
_GUARD = threading.Lock()


def check_workdir(workdir: pathlib.Path) -> None:
    """Refuse a path that cannot be the folder of a run.

    Raises:
      RefusedError: The path is a URL or a file, or has brackets.
    """
    check_local("workdir", workdir)
    if any(x in str(workdir.absolute()) for x in "[]"):
        # Orbax saves there, but takes the path for a pattern when it restores.
        raise RefusedError(
            "`workdir` must be a path without brackets, which checkpoints cannot "
            f"be read back from, got {str(workdir.absolute())!r}."
        )
    if workdir.exists() and not workdir.is_dir():
        raise RefusedError(
            f"`workdir` must be a folder, got {str(workdir)!r}, which is a file."
        )


@contextlib.contextmanager
def hold_workdir(workdir: pathlib.Path) -> Iterator[None]:
    """Lock the folder of a run in the block, so that no other run trains in it.

    The folder is made where it does not exist. The operating system locks its file
    `run.lock`, and frees it when this process ends, however it ends. A thread may lock
    a folder that it has locked already. Reading, as an evaluation does, needs no lock.

    Of several processes the first locks the folder; all call this together, and all
    raise if it is in use.

    Args:
      workdir: Folder of the run.

    Raises:
      RefusedError: Another process, or another thread, trains in the folder; or no run
        can be trained there.
    """
    check_workdir(workdir)
    folder = workdir.absolute()
    with contextlib.ExitStack() as stack:
        refused_by_all(lambda: stack.enter_context(_held(folder)))
        yield


@contextlib.contextmanager
def _held(folder: pathlib.Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # It may be reached by several links.
    thread = threading.get_ident()
    with _GUARD:
        again = _HELD.get(folder) == thread
        if folder in _HELD and not again:
            raise RefusedError(_in_use(folder, "another thread of this process"))
        lock = None if again else _lock(folder)
        _HELD[folder] = thread
    try:
        yield
    finally:
        if not again:
            with _GUARD:
                del _HELD[folder]
                _unlock(lock)


def _lock(folder: pathlib.Path) -> int | None:
    """Lock the folder's file; return its descriptor, None where it has no locks."""
    if fcntl is None:
        return None
    _close_in_forks()
    path = folder / _LOCK
    # Not inherited by processes that execute a program, as workers do.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # The latter on some network systems.
        holder = os.pread(file, 1000, 0).decode(errors="replace").strip()
        os.close(file)
        raise RefusedError(_in_use(folder, holder or "another process")) from None
    except OSError as error:
        os.close(file)
        _LOGGER.warning(
            "%s cannot be locked (%s): make sure that no other run trains there.",
            path,
            error.strerror,
        )
        return None
    os.ftruncate(file, 0)
    os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    _OPEN.add(file)
    return file


def _unlock(file: int | None) -> None:
    if file is not None:
        _OPEN.discard(file)
        os.close(file)


@functools.cache
def _close_in_forks() -> None:
    """Close lock files in forked processes, which could outlive this one."""

    def close() -> None:
        _HELD.clear()
        while _OPEN:
            os.close(_OPEN.pop())

    register: Any = os.register_at_fork
    register(after_in_child=close)


def _in_use(folder: pathlib.Path, holder: str) -> str:
    return (
        f"`workdir` must be a folder that no other run trains in, got {str(folder)!r}, "
        f"which {holder} trains in. Wait for its end, or pass another `workdir`."
    )
