"""The mesh axes that the user names for splitting reassemblies."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Generator

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Axes:
    """Names of mesh axes; `batch=None` means all that split no rows or channels."""

    batch: Names | None = None
    rows: Names = ()
    channels: Names = ()


_AXES = contextvars.ContextVar("axes", default=Axes())


@contextlib.contextmanager
def batch_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split their batch.

    Needed for axes of type Auto, for which the sharding of an array is unknown at trace
    time; for Explicit axes it is part of the array's type. By default, the batch is
    split over every axis of the mesh that splits neither rows nor channels, in order.
    An axis whose size does not divide the batch is dropped, and the work is replicated
    along it. The context applies while a function is traced: enter it inside the
    compiled function, or around its first call.

    Args:
      *names: Axes of the mesh in force, outermost first; with none, the batch is not
        split.

    Raises:
      RefusedError: By `reassemble`, if the mesh in force has no axis of that name.
    """
    with _replaced(batch=names):
        yield


@contextlib.contextmanager
def row_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split the rows of their maps.

    Like `batch_axes`; by default, rows are not split. Each device receives a halo from
    its neighbours: the rows that its windows reach. Each device must have whole anchors
    (blocks of d source rows), at least as many as its halo.

    Args:
      *names: Axes of the mesh in force, outermost first.
    """
    with _replaced(rows=names):
        yield


@contextlib.contextmanager
def channel_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split their channels.

    Like `batch_axes`; by default, channels are not split. With more than one group,
    groups are kept whole: an axis whose size does not divide their number is dropped.

    Args:
      *names: Axes of the mesh in force, outermost first.
    """
    with _replaced(channels=names):
        yield


@contextlib.contextmanager
def _replaced(**changes: Names) -> Generator[None, None, None]:
    token = _AXES.set(dataclasses.replace(_AXES.get(), **changes))
    try:
        yield
    finally:
        _AXES.reset(token)


def axes_in_force() -> Axes:
    """Return the axes set by `batch_axes`, `row_axes` and `channel_axes`."""
    return _AXES.get()
