"""Event files with scalars and pictures for TensorBoard."""

import pathlib
import time
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from carafe_jax.errors import no_type_check

_FLUSH_SECONDS = 60.0
_EVENTS: Any = event_pb2  # It creates its types at import.


class EventFile:
    """An event file, written by the calling thread.

    tensorboardX's `SummaryWriter` writes in a background thread: if that ends, for
    example on a full disk, later calls block for ever.
    """

    def __init__(self, folder: pathlib.Path, *, step: int) -> None:
        """Start a new event file of a run.

        Args:
          folder: Folder of the run's event files; created if it is missing.
          step: First step of this session; TensorBoard hides the events of the run's
            other files from this step on.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))
        self._flushed = time.monotonic()
        start = _EVENTS.SessionLog(status=_EVENTS.SessionLog.START)
        self._write(_EVENTS.Event(step=step, session_log=start))

    def write_scalar(self, tag: str, value: float, *, step: int) -> None:
        """Write a scalar of a step."""
        scalar = summary.scalar(tag, value)
        self._write(_EVENTS.Event(step=step, summary=scalar))

    @no_type_check
    def write_picture(
        self, tag: str, picture: UInt8[np.ndarray, "h w 3"], *, step: int
    ) -> None:
        """Write a picture of a step, RGB."""
        image = summary.image(tag, picture, dataformats="HWC")
        self._write(_EVENTS.Event(step=step, summary=image))

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()
