"""Scalars and pictures for TensorBoard, in an event file."""

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
_EVENTS: Any = event_pb2  # Its types are made when it is imported.


class EventFile:
    """An event file, written by the thread that calls.

    tensorboardX's `SummaryWriter` writes in a thread of its own: where that ends, as on
    a full disk, the calls after it wait for ever.
    """

    def __init__(self, folder: pathlib.Path, *, step: int) -> None:
        """Begin another file of a run.

        Args:
          folder: Of the run's event files; made where it does not exist.
          step: First of this session; TensorBoard hides what other files of the run
            hold from there on.
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
        """Write what is left, and close the file."""
        self._writer.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()
