"""TensorBoard's event file of a run."""

import struct
import sys
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from carafe_jax.train.event_file import EventFile

EVENTS: Any = event_pb2  # Protobuf creates its types at import.


def read_events(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        # The record follows its length and a checksum, and is followed by another.
        yield EVENTS.Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def test_scalars_and_pictures_can_be_read_back(tmp_path):
    file = EventFile(tmp_path / "tensorboard", step=7)
    file.write_scalar("train/loss", 0.5, step=9)
    file.write_picture("test/fill", np.full((3, 5, 3), 200, np.uint8), step=10)
    file.close()
    version, start, scalar, picture = read_events(tmp_path / "tensorboard")
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (7, EVENTS.SessionLog.START)
    (value,) = scalar.summary.value
    assert (scalar.step, value.tag, value.simple_value) == (9, "train/loss", 0.5)
    (value,) = picture.summary.value
    assert (picture.step, value.tag) == (10, "test/fill")
    assert (value.image.height, value.image.width) == (3, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_full_disk_raises_and_is_not_waited_for(tmp_path, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        name = "tensorboardX.record_writer.open_file"
        monkeypatch.setattr(name, lambda path: full)
        with pytest.raises(OSError, match="No space left"):
            EventFile(tmp_path, step=1)
