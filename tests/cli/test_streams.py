"""Standard streams that lack an encoding for a name, are closed or are broken."""

import io
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from carafe_jax.cli.streams import escape_unencodable
from tests.subprocesses import LIMIT, ROOT, start_python
from tests.tasks.inpainting.pictures import random_photo, save, square_hole

_FILL = """
import numpy as np
from carafe_jax.cli import fill
from carafe_jax.cli.console import run
from carafe_jax.tasks.inpainting import InpaintingData
from carafe_jax.tasks.inpainting.prediction import TrainedInpainter

class Unfilled(TrainedInpainter):
    def fill_batches(self, *, batch_size):
        return lambda batch: np.zeros_like(batch["image"])

fill.load = lambda *_, **__: Unfilled(None, {}, "U-Net", InpaintingData(), 1)
run(fill.main, fill.FillOptions, doc="")
"""


def test_streams_escape_characters_that_their_encoding_lacks(monkeypatch):
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    escape_unencodable()
    stream.write("Größe 日 \udce9")
    stream.flush()
    assert written.getvalue() == rb"Gr\xf6\xdfe \u65e5 \udce9"


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_fill_reaches_its_summary_in_every_locale(tmp_path, environment):
    for name in ("plain.png", "日本[old].png", "none\udce9.png"):
        save(tmp_path / "photos" / name, random_photo(24, 32))
    for name in ("plain.png", "日本[old].png"):
        mask = (255 * square_hole(24, 32)).astype(np.uint8)
        save(tmp_path / "masks" / name, mask)
    paths = os.pathsep.join([str(ROOT), str(pathlib.Path(ROOT, "pallas"))])
    with start_python(
        *("-c", _FILL, "photos", "masks", "-o", "filled", "--model", "."),
        environment={"PYTHONPATH": paths, **environment},
        cwd=tmp_path,
    ) as command:
        text = command.finish(status=1)
    assert "Filled by U-Net, step 1: 2; not filled: 1" in text
    assert "none\\xe9.png: there must be one photograph" in text
    assert "Traceback" not in text
    assert (tmp_path / "filled" / "日本[old].png").exists()


_PIPED = """
import os, sys
from rich.console import Console
from carafe_jax.cli.streams import PipedConsole, exit_on_broken_pipe

kind, = sys.argv[1:]
if kind == "other":
    read, write = os.pipe()
    os.close(read)
    with exit_on_broken_pipe():
        os.write(write, b"x")
with exit_on_broken_pipe():
    if kind == "lines":
        while True:
            PipedConsole().print("line")
    print("help")
    sys.exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("kind", ["lines", "help"])
def test_command_ends_silently_when_its_reader_does(kind, unbuffered):
    assert _without_reader(kind, unbuffered) == (128 + signal.SIGPIPE, "")


@pytest.mark.slow
def test_a_pipe_to_another_process_is_an_error():
    status, text = _without_reader("other", "")
    assert status == 1
    assert "BrokenPipeError" in text


def _without_reader(kind, unbuffered):
    read, write = os.pipe()
    os.close(read)
    stdout = subprocess.DEVNULL if kind == "other" else write
    # Not by `start_python`, whose files accept all output.
    ended = subprocess.run(
        [sys.executable, "-c", _PIPED, kind],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)},
        timeout=LIMIT,
        check=False,
    )
    os.close(write)
    return ended.returncode, ended.stderr.decode()


def test_closed_streams_are_discarded(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    escape_unencodable()
    with sys.stdout as stream:
        assert stream.write("line") == 4
