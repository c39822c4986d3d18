"""Paths of local files, and files that are written whole or not at all."""

import contextlib
import os
import pathlib
import re
import secrets
from collections.abc import Iterator

from carafe_jax.errors import RefusedError

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
    finally:
        partial.unlink(missing_ok=True)


def check_new(name: str, path: pathlib.Path, *, overwrite: bool) -> None:
    """Refuse a file to write that is a folder, or exists and may not be overwritten.

    Args:
      name: Name of the argument.
      path: Of the file.
      overwrite: Whether it may be overwritten.

    Raises:
      RefusedError: It may not be written.
    """
    if path.is_dir():
        raise RefusedError(f"`{name}` must be a file, got the folder {str(path)!r}.")
    if path.exists() and not overwrite:
        raise RefusedError(
            f"`{name}` must not exist, got {str(path)!r}; --overwrite writes over it."
        )
