"""Paths of local files, and files that are written whole or not at all."""

import contextlib
import errno
import logging
import os
import pathlib
import re
import secrets
from collections.abc import Iterator

from carafe_jax.errors import RefusedError

try:
    import fcntl
except ImportError:  # Not on Windows, where nothing is locked.
    fcntl = None

CAN_LOCK = fcntl is not None
_LOGGER = logging.getLogger(__name__)
# pathlib drops one of the slashes. A drive of Windows has one letter.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def check_local(argument: str, path: str | os.PathLike[str]) -> None:
    """Refuse a URL, such as that of a bucket, where a local path is expected.

    Args:
      argument: Name of the argument that holds the path.
      path: Of a file or a folder, which need not exist.

    Raises:
      RefusedError: The path begins like a URL: "gs://", "s3://", "file://".
    """
    text = os.fspath(path)
    url = _URL.match(text)
    if url is None:
        return
    scheme = url[1].lower()
    shown = text if "://" in text else text.replace(":/", "://", 1)
    advice = _ADVICE.get(scheme, "Mount or copy what it names, and give that path.")
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
def write_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the path to write to; the file there then replaces the one at `path`.

    Where writing raises, or the process ends meanwhile, `path` stays as it was. Its
    folder is made where it does not exist.

    Args:
      path: Of the file.

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
        # Nobody knows the partial file by its name.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the file, then enter it.

    The operating system locks an empty file beside it, `.NAME.lock`, which stays there,
    and frees it when the process ends. A folder without locks gets a warning.

    Args:
      path: Of the file, which need not exist; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("ab") as file:
        lock_file(file.fileno(), lock, wait=True, rule=f"process writes to {path}")
        yield


def lock_file(file: int, path: pathlib.Path, *, wait: bool, rule: str) -> bool:
    """Lock an open file until it is closed.

    Args:
      file: Its descriptor.
      path: Of the file, for the warning where its folder has no locks.
      wait: Whether to wait for another process that has locked it.
      rule: Of the warning, to be read after "make sure that no other".

    Returns:
      Whether it is locked; without a warning, never on Windows.

    Raises:
      OSError: Another process has locked it, and this one does not wait:
        BlockingIOError, or PermissionError on some network file systems.
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
    """Refuse a file that cannot be written, or exists and may not be overwritten.

    Args:
      name: Name of the argument.
      path: Of the file.
      overwrite: Whether it may be overwritten.

    Raises:
      RefusedError: It may not be written, or its name is too long.
    """
    _check_lengths(name, path)
    # Methods of a path raise where its folder may not be searched.
    if os.path.isdir(path):
        raise RefusedError(f"`{name}` must be a file, got the folder {str(path)!r}.")
    if os.path.exists(path) and not overwrite:
        raise RefusedError(
            f"`{name}` must not exist, got {str(path)!r}; --overwrite writes over it."
        )
    # `write_whole` could replace it, but someone has protected it.
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise RefusedError(
            f"`{name}` must be a file that may be written to, got {str(path)!r}."
        )
    _check_place(name, path.parent)


def check_folder(name: str, path: pathlib.Path) -> None:
    """Refuse a folder, to be made where it does not exist, that cannot be written to.

    Args:
      name: Name of the argument.
      path: Of the folder.

    Raises:
      RefusedError: It, or what it is to lie in, is no folder or may not be written to;
        or its name is too long.
    """
    _check_lengths(name, path)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise RefusedError(f"`{name}` must be a folder, got the file {str(path)!r}.")
    _check_place(name, path)


def is_same_file(path: pathlib.Path, other: pathlib.Path) -> bool:
    """Return whether two paths lead to the same existing file."""
    return path.exists() and other.exists() and path.samefile(other)


def _check_lengths(name: str, path: pathlib.Path) -> None:
    """Refuse a path that the file system has no room for, in a part or as a whole."""
    # A name in a folder that is still to be made is looked up in the nearest one.
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
    """Return the path, or the nearest folder above it that exists."""
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
