"""A progress bar that ends with the block that it is for."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


@contextlib.contextmanager
def tracked(
    items: Iterable[Item], description: str, *, total: int, console: Console
) -> Iterator[Iterator[Item]]:
    """Yield an iterator over the items, with a bar until the block ends.

    Without items there is no bar, which would end at 0 %. Lines that are printed after
    an error, or Ctrl-C, in the block come after the bar.
    """
    # Any: the generator is typed as an iterable.
    bar: Any = track(
        items,
        description=description,
        total=total,
        console=console,
        disable=total == 0,
    )
    with contextlib.closing(bar):
        yield bar
