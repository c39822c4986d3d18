"""The folder of a run: its valid paths, and a lock against a second run."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from carafe_jax.errors import RefusedError
from carafe_jax.files import CAN_LOCK, check_local, lock_file
from carafe_jax.train.processes import call_on_first

_LOCK = "run.lock"
_GUARD = threading.Lock()


@dataclasses.dataclass
class _Hold:
    """A locked folder, whose lock file is open once in the process."""

    thread: int
    """Identifier of the thread that trains."""
    folder: int | None
    """Descriptor of the folder; while it is open, its inode is not reused."""
    lock: int | None
    """Descriptor of the locked file; None if no file is locked."""

    def close(self) -> None:
        """Release the folder."""
        for file in (self.lock, self.folder):
            if file is not None:
                os.close(file)


_HELD: dict[pathlib.Path, _Hold] = {}


def check_workdir(workdir: pathlib.Path) -> None:
    """Raise if a path cannot be the folder of a run.

    Raises:
      RefusedError: The path is a URL or a file, or has brackets.
    """
    check_local("workdir", workdir)
    if any(x in str(workdir.absolute()) for x in "[]"):
        # Orbax saves there, but reads the path as a glob pattern when it restores.
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

    The folder is created if it is missing, and deleted again if an error ends the block
    before anything is written into it. The operating system locks its file `run.lock`,
    and releases it when this process ends, however it ends. A thread may
    lock a folder that it has already locked. Reading, as an evaluation does, needs no
    lock.

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
        call_on_first(lambda: stack.enter_context(_held(folder)))
        yield


def ensure_held(workdir: pathlib.Path) -> None:
    """Raise unless the folder is still the one that this process locked.

    It may have been deleted, and another run started under its name. If only the lock
    file was deleted, the folder is locked again.

    Args:
      workdir: Folder of the run, as passed to `hold_workdir`.

    Raises:
      RefusedError: The folder was deleted, moved or replaced; or its lock was deleted,
        and another run has taken it.
    """
    with _GUARD:
        folder = workdir.absolute().resolve()
        hold = _HELD.get(folder)
        if hold is None or not _is_open_at(folder, hold.folder):
            raise RefusedError(
                f"`workdir` must stay where it is, got {str(workdir)!r}, which was "
                "deleted, moved or replaced while the run trained in it. Nothing more "
                "is saved."
            )
        if not _is_open_at(folder / _LOCK, hold.lock):
            before, hold.lock = hold.lock, _lock(folder)
            if before is not None:
                os.close(before)


def _is_open_at(path: pathlib.Path, file: int | None) -> bool:
    """Return whether an open file is still the one at a path."""
    if file is None:
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False


@contextlib.contextmanager
def _held(folder: pathlib.Path) -> Iterator[None]:
    created = [x for x in (folder, *folder.parents) if not x.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # Several links may lead to it.
    thread = threading.get_ident()
    with _GUARD:
        hold = _HELD.get(folder)
        if hold is not None and hold.thread != thread:
            raise RefusedError(_in_use(folder, "another thread of this process"))
        again = hold is not None
        if not again:
            _HELD[folder] = _acquire(folder, thread)
    try:
        yield
    except BaseException:
        if created and _is_open_at(folder, _HELD[folder].folder):
            _delete_unused(created)
        raise
    finally:
        if not again:
            with _GUARD:
                _HELD.pop(folder).close()


def _delete_unused(created: list[pathlib.Path]) -> None:
    """Delete the new folder of a run, and its new parents, if no run has used them.

    Args:
      created: Folders that this process made, the innermost first.
    """
    with contextlib.suppress(OSError):  # Others may have used or deleted them by now.
        if {x.name for x in created[0].iterdir()} - {_LOCK}:
            return
        (created[0] / _LOCK).unlink(missing_ok=True)
        for folder in created:
            folder.rmdir()


def _acquire(folder: pathlib.Path, thread: int) -> _Hold:
    if not CAN_LOCK:
        return _Hold(thread, None, None)
    _close_in_forks()
    lock = _lock(folder)
    return _Hold(thread, os.open(folder, os.O_RDONLY | os.O_CLOEXEC), lock)


def _lock(folder: pathlib.Path) -> int | None:
    """Lock the folder's file; return its descriptor, None if locks are unsupported."""
    path = folder / _LOCK
    # O_CLOEXEC: programs that this process starts, such as workers, inherit no lock.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        locked = lock_file(file, path, wait=False, rule="run trains there")
    except OSError:
        holder = os.pread(file, 1000, 0).decode(errors="replace").strip()
        os.close(file)
        raise RefusedError(_in_use(folder, holder or "another process")) from None
    if not locked:
        os.close(file)
        return None
    try:
        holder = f"process {os.getpid()} on {socket.gethostname()}\n"
        os.ftruncate(file, 0)
        os.pwrite(file, holder.encode(), 0)
    except OSError:  # The disk is full.
        os.close(file)
        raise
    return file


@functools.cache
def _close_in_forks() -> None:
    """Close lock files in forked processes, which could outlive this one."""

    def close() -> None:
        for hold in _HELD.values():
            hold.close()
        _HELD.clear()

    register: Any = os.register_at_fork
    register(after_in_child=close)


def _in_use(folder: pathlib.Path, holder: str) -> str:
    return (
        f"`workdir` must be a folder that no other run trains in, got {str(folder)!r}, "
        f"which {holder} trains in. Wait for its end, or pass another `workdir`."
    )
