"""Files that are written whole or not at all."""

import contextlib
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def write_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the path to write to; the file there then replaces the one at `path`.

    Where writing raises, or the process ends meanwhile, `path` stays as it was. Its
    folder is made where it does not exist.

    Args:
      path: Of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
