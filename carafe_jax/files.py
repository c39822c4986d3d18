"""Files that are written whole or not at all, and not over others unasked."""

import contextlib
import pathlib
import secrets
from collections.abc import Iterator

from carafe_jax.errors import RefusedError


@contextlib.contextmanager
def write_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the path to write to; the file there then replaces the one at `path`.

    Where writing raises, or the process ends meanwhile, `path` stays as it was. Its
    folder is made where it does not exist.

    Args:
      path: Of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name: one that `path.name` begins could be longer than a system takes.
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
