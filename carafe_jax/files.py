"""Checks of local paths, atomic writes and file locks."""

import contextlib
import errno
import logging
import os
import pathlib
import re
import secrets
import tempfile
from collections.abc import Iterator

from carafe_jax.errors import RefusedError

try:
    import fcntl
except ImportError:  # Windows has no `fcntl`; files are not locked there.
    fcntl = None

CAN_LOCK = fcntl is not None
_LOGGER = logging.getLogger(__name__)
# pathlib drops one of the slashes. A Windows drive has one letter.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def check_local(argument: str, path: str | os.PathLike[str]) -> None:
    """Raise if a path is a URL, such as that of a bucket.

    Args:
      argument: Name of the argument that holds the path.
      path: File or folder, which need not exist.

    Raises:
      RefusedError: The path has a URL scheme, such as "gs://", "s3://" or "file://".
    """
    text = os.fspath(path)
    url = _URL.match(text)
    if url is None:
        return
    scheme = url[1].lower()
    shown = text if "://" in text else text.replace(":/", "://", 1)
    advice = _ADVICE.get(scheme, "Mount or copy the data, and give the local path.")
    raise RefusedError(
        f"`{argument}` must be a path of the file system, got {shown!r}. {advice}"
    )


_CLOUD_STORAGE = (
    "Mount the bucket with Cloud Storage FUSE (gcsfuse), and give the mounted path."
)
_ADVICE = {
    "file": "Leave the 'file://' out.",
    "gs": _CLOUD_STORAGE,
    "gcs": _CLOUD_STORAGE,
    "s3": "Mount the bucket with Mountpoint for Amazon S3 (mount-s3) to read from it; "
    "write to a disk or a shared file system, and copy.",
}


@contextlib.contextmanager
def write_atomically(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path to write to, then move that file to `path` atomically.

    If writing raises, or the process ends before the move, `path` is unchanged. Its
    folder is created if it does not exist.

    Args:
      path: Final path of the file.

    Raises:
      RefusedError: The path is a URL.
    """
    check_local("path", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name: `path.name` with a suffix could exceed the system's limit.
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.filename not in (partial, str(partial)):
            raise
        # Users do not know the name of the partial file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Hold the lock of a file for the block; wait while another process holds it.

    The lock is on an empty file in the same folder, `.NAME.lock`, which is kept. The
    operating system releases it when the process ends. If the file system does not
    support locks, a warning is logged.

    Args:
      path: File to lock, which need not exist; its folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("ab") as file:
        lock_file(file.fileno(), lock, wait=True, rule=f"process writes to {path}")
        yield


def lock_file(file: int, path: pathlib.Path, *, wait: bool, rule: str) -> bool:
    """Lock an open file until it is closed.

    Args:
      file: File descriptor.
      path: Path of the file, for the warning if its file system has no locks.
      wait: Whether to wait while another process holds the lock.
      rule: End of the warning, after "make sure that no other".

    Returns:
      Whether the file is locked: never on Windows, which gets no warning.

    Raises:
      OSError: Another process holds the lock, and `wait` is False: BlockingIOError, or
        PermissionError on some network file systems.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if not wait and isinstance(error, BlockingIOError | PermissionError):
            raise
        _LOGGER.warning(
            "%s cannot be locked (%s): make sure that no other %s.",
            path,
            error.strerror,
            rule,
        )
        return False
    return True


def check_new(name: str, path: pathlib.Path, *, overwrite: bool) -> None:
    """Raise if a file cannot be written, or exists and must not be overwritten.

    Args:
      name: Name of the argument.
      path: Path of the file.
      overwrite: Whether an existing file may be overwritten.

    Raises:
      RefusedError: The file must not be written, or its name is too long.
    """
    _check_lengths(name, path)
    # Methods of `pathlib.Path` raise if the folder is not searchable.
    if os.path.isdir(path):
        raise RefusedError(f"`{name}` must be a file, got the folder {str(path)!r}.")
    if os.path.exists(path) and not overwrite:
        raise RefusedError(
            f"`{name}` must not exist, got {str(path)!r}; --overwrite writes over it."
        )
    # `write_atomically` could replace it, but the file is write-protected.
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise RefusedError(
            f"`{name}` must be a file that may be written to, got {str(path)!r}."
        )
    _check_place(name, path.parent)


def check_folder(name: str, path: pathlib.Path) -> None:
    """Raise if a folder cannot be created or written to.

    Args:
      name: Name of the argument.
      path: Path of the folder, which need not exist.

    Raises:
      RefusedError: The path, or its nearest existing parent, is not a folder or not
        writable; or a name in it is too long.
    """
    _check_lengths(name, path)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise RefusedError(f"`{name}` must be a folder, got the file {str(path)!r}.")
    _check_place(name, path)


def make_folder(name: str, path: pathlib.Path) -> None:
    """Create a folder, and write to it and delete what was written.

    Args:
      name: Name of the argument.
      path: Path of the folder, which may exist.

    Raises:
      RefusedError: As `check_folder`; or a file in it cannot be written, as on a file
        system that is read-only or full.
    """
    check_folder(name, path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0")
    except OSError as error:
        raise RefusedError(
            f"`{name}` must be a folder that may be written to, got {str(path)!r}: "
            f"{error.strerror}."
        ) from error


def is_same_file(path: pathlib.Path, other: pathlib.Path) -> bool:
    """Return whether two paths refer to the same existing file."""
    return path.exists() and other.exists() and path.samefile(other)


def _check_lengths(name: str, path: pathlib.Path) -> None:
    """Raise if a path, or a name in it, is too long for the file system."""
    # For folders that do not exist yet, the nearest existing one sets the limit.
    existing = _nearest(path.parent)
    for part in (path.absolute(), *(existing / x for x in path.parts)):
        try:
            os.lstat(part)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise RefusedError(
                    f"`{name}` must be a path of shorter names, got {str(path)!r}."
                ) from None


def _nearest(path: pathlib.Path) -> pathlib.Path:
    """Return the path if it exists, else its nearest existing parent."""
    return next(x for x in (path, *path.absolute().parents) if os.path.lexists(x))


def _check_place(name: str, path: pathlib.Path) -> None:
    existing = _nearest(path)
    if not existing.is_dir():
        raise RefusedError(
            f"`{name}` must be in a folder, got the file {str(existing)!r}."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RefusedError(
            f"`{name}` must be in a folder that may be written to, got "
            f"{str(existing)!r}."
        )
