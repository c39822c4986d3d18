"""Provenance of a run, over all its sessions."""

import json
import signal

import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import Adam, read_provenance, train
from carafe_jax.train.provenance import Provenance
from tests.train.test_loop import Killed, loop, run
from tests.train.toy import CountedBatches, PowerCut, Regression


def read(workdir):
    return json.loads((workdir / "provenance.json").read_text())


def spans(workdir):
    return [(x["from_step"], x["to_step"]) for x in read(workdir)["sessions"]]


def session(workdir, *, start, end):
    provenance = Provenance(workdir, step=start, total=100, began=0.0)
    if end is not None:
        provenance.update(end)
    return provenance


def test_run_has_a_session_with_its_machine(tmp_path):
    run(tmp_path)
    (only,) = read(tmp_path)["sessions"]
    assert (only["from_step"], only["to_step"], only["of_steps"]) == (0, 12, 12)
    assert only["machine"]["jax"]
    assert only["began"]


def test_interrupted_run_adds_up(tmp_path):
    run(tmp_path, Killed(2, signal.SIGTERM))
    run(tmp_path)
    content = read(tmp_path)
    assert spans(tmp_path) == [(0, 3), (3, 12)]
    assert content["steps"] == 12
    assert content["seconds"] == pytest.approx(
        sum(x["seconds"] for x in content["sessions"]), abs=0.1
    )


def test_killed_run_counts_up_to_its_last_save(tmp_path):
    class Dying(Regression):
        def batches(self):
            class DyingBatches(CountedBatches):
                def __next__(self):
                    if self.taken == 11:
                        raise PowerCut
                    return super().__next__()

            return DyingBatches(self.size)

    with pytest.raises(PowerCut):
        run(tmp_path, Dying())
    run(tmp_path)
    assert spans(tmp_path) == [(0, 8), (8, 12)]


def test_save_that_was_not_finished_does_not_count(tmp_path):
    session(tmp_path, start=0, end=8)
    session(tmp_path, start=4, end=12)
    assert spans(tmp_path) == [(0, 4), (4, 12)]


def test_finished_run_that_is_started_again_has_no_further_session(tmp_path):
    run(tmp_path)
    before = read(tmp_path)
    run(tmp_path)
    assert read(tmp_path) == before


def test_run_that_starts_afresh_forgets_an_earlier_one(tmp_path):
    session(tmp_path, start=0, end=8)
    session(tmp_path, start=0, end=3)
    assert spans(tmp_path) == [(0, 3)]


def test_length_is_that_of_the_session_before(tmp_path):
    assert session(tmp_path, start=0, end=8).length is None
    assert session(tmp_path, start=8, end=None).length == 100


def test_starting_weights_are_recorded_and_kept_by_later_sessions(tmp_path):
    weights = {"params": {"w": np.ones(3, np.float32), "other": np.ones(1)}}
    train(
        Killed(2, signal.SIGTERM),
        optimizer=Adam(),
        loop=loop,
        workdir=tmp_path,
        weights=weights,
    )
    run(tmp_path)
    assert spans(tmp_path) == [(0, 3), (3, 12)]
    assert read_provenance(tmp_path)["weights"] == {
        "loaded": ["params/w"],
        "missing": ["params/b", "statistics/seen"],
        "unexpected": ["params/other"],
    }


def test_run_from_the_initializers_records_no_weights(tmp_path):
    run(tmp_path)
    assert "weights" not in read_provenance(tmp_path)


def test_file_of_the_first_version_counts_as_a_session(tmp_path):
    old = {"steps": 6, "seconds": 100, "device": "a CPU"}
    (tmp_path / "provenance.json").write_text(json.dumps(old))
    session(tmp_path, start=6, end=8)
    content = read(tmp_path)
    assert spans(tmp_path) == [(0, 6), (6, 8)]
    assert content["seconds"] > 100
    assert content["device"] == "a CPU"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\0\0", b"\xff{}"])
def test_damaged_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "provenance.json").write_bytes(content)
    with pytest.raises(
        RefusedError, match=r"provenance\.json is damaged: .* Delete it"
    ):
        read_provenance(tmp_path)
    with pytest.raises(RefusedError, match=r"provenance\.json is damaged: "):
        session(tmp_path, start=8, end=None)


def test_folder_without_a_file_has_an_empty_provenance(tmp_path):
    assert read_provenance(tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    [
        {"sessions": 3},
        {"sessions": "a"},
        {"sessions": {}},
        {"sessions": [3]},
        {"sessions": [{"from_step": 0, "to_step": "8", "seconds": 1}]},
        {"sessions": [{"from_step": 0, "to_step": 8}]},
        {"sessions": [{"from_step": 0, "to_step": 8, "seconds": None}]},
        {"steps": "many", "seconds": 1},
    ],
)
def test_entries_of_another_type_are_refused(tmp_path, content):
    (tmp_path / "provenance.json").write_text(json.dumps(content))
    with pytest.raises(RefusedError, match=r"provenance\.json is damaged: its "):
        session(tmp_path, start=8, end=None)
