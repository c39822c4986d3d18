"""The mesh axes over which a user has reassemblies split."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Generator

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Axes:
    """Names of mesh axes; `batch=None` stands for every axis of the mesh."""

    batch: Names | None = None
    rows: Names = ()
    channels: Names = ()


_AXES = contextvars.ContextVar("axes", default=Axes())


@contextlib.contextmanager
def batch_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split their batch.

    For meshes with axes of type Auto, where the sharding of an array is not known while
    tracing; with Explicit axes it is read off the array. Without this, the batch is
    split over every axis of the mesh, in order. An axis whose size does not divide the
    batch is left out: along it the work is repeated. It acts while a function is
    traced: put it inside the function that is compiled, or around its first call.

    Args:
      *names: Axes of the mesh in force, outermost first; none: do not split.

    Raises:
      RefusedError: On the way, in `reassemble`, where the mesh has no axis of a name.
    """
    with _replaced(batch=names):
        yield


@contextlib.contextmanager
def row_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split the rows of their maps.

    As `batch_axes`; without it rows are not split. Each device receives from its
    neighbours the rows that its windows reach. Rows must fall on devices in whole
    anchors (blocks of d source rows), at least as many as a window reaches.

    Args:
      *names: Axes of the mesh in force, outermost first.
    """
    with _replaced(rows=names):
        yield


@contextlib.contextmanager
def channel_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split their channels.

    As `batch_axes`; without it channels are not split. Groups stay whole: with more
    than one group, an axis must divide their number, and is left out if it does not.

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
