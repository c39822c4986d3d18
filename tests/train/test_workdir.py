"""The folder of a run: one training at a time."""

import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import time

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import hold_workdir, restore_trained
from tests.subprocesses import start_python
from tests.train.test_loop import run
from tests.train.toy import CountedBatches, Regression

HOLDER = """
import os, pathlib, sys, time
from carafe_jax.train import hold_workdir

with hold_workdir(pathlib.Path(sys.argv[1])):
    if "fork" in sys.argv and os.fork() == 0:
        pathlib.Path(sys.argv[1], "forked").write_text(str(os.getpid()))
    pathlib.Path(sys.argv[1], f"held{os.getpid()}").touch()
    time.sleep(600)
"""


class Nested(Regression):
    """Trains another run in the same folder when its batches are requested."""

    def __init__(self, workdir):
        super().__init__()
        self.workdir = workdir

    def batches(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pool.submit(run, self.workdir).result()
        return super().batches()


def test_second_run_in_a_thread_of_the_process_is_refused(tmp_path):
    error = "`workdir` must be a folder that no other run trains in, got .* thread"
    with pytest.raises(RefusedError, match=error):
        run(tmp_path, Nested(tmp_path))
    assert not (tmp_path / "checkpoints").exists() or not any(
        (tmp_path / "checkpoints").iterdir()
    )
    assert int(run(tmp_path).state.step) == 12


def test_folder_is_the_same_by_whichever_name(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    with concurrent.futures.ThreadPoolExecutor() as pool, hold_workdir(folder):
        for name in (pathlib.Path("run"), tmp_path / "link", tmp_path / "a/../run"):
            with pytest.raises(RefusedError, match="that no other run trains in"):
                pool.submit(run, name).result()


def test_thread_that_holds_a_folder_trains_in_it(tmp_path):
    with hold_workdir(tmp_path):
        assert int(run(tmp_path).state.step) == 12
        # Still held after the training.
        with (
            concurrent.futures.ThreadPoolExecutor() as pool,
            pytest.raises(RefusedError, match="another thread of this process"),
        ):
            pool.submit(run, tmp_path).result()


def test_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_workdir(tmp_path):
        _ = 1 / 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert int(pool.submit(run, tmp_path).result().state.step) == 12


def test_new_folder_is_deleted_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_workdir(tmp_path / "a" / "b"):
        _ = 1 / 0
    assert not (tmp_path / "a").exists()


def test_new_folder_that_is_used_is_kept_after_an_error(tmp_path):
    folder = tmp_path / "new"

    def fail():
        (folder / "checkpoints").mkdir()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), hold_workdir(folder):
        fail()
    assert {x.name for x in folder.iterdir()} == {"run.lock", "checkpoints"}


def test_folder_that_existed_before_is_kept_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_workdir(tmp_path):
        _ = 1 / 0
    assert tmp_path.is_dir()


def test_folder_in_use_can_be_read(tmp_path):
    run(tmp_path)
    with concurrent.futures.ThreadPoolExecutor() as pool, hold_workdir(tmp_path):
        _, step = pool.submit(
            restore_trained, tmp_path, best="score", which="last"
        ).result()
    assert step == 12


def test_file_system_without_locks_is_trained_on_with_a_warning(
    tmp_path, monkeypatch, caplog
):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert int(run(tmp_path).state.step) == 12
    assert "run.lock cannot be locked (Operation not supported)" in caplog.text


@pytest.mark.parametrize("url", ["gs://bucket/run", "s3://b/run", "memory://run"])
def test_bucket_is_refused_and_creates_no_folder(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    error = f"`workdir` must be a path of the file system, got '{url}'"
    for path in (url, pathlib.Path(url)):
        with pytest.raises(RefusedError, match=error):
            run(path)
    assert not any(tmp_path.iterdir())


def test_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "run"
    path.touch()
    with pytest.raises(
        RefusedError, match=r"`workdir` must be a folder, got .* a file"
    ):
        run(path)


class ActingOnce(Regression):
    """Calls a function when its fourth batch is taken, before the first save."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def batches(self):
        task = self

        class Batches(CountedBatches):
            def __next__(self):
                if self.taken == 3:
                    task.act()
                return super().__next__()

        return Batches(self.size)


@pytest.mark.parametrize("replaced", [False, True])
def test_folder_that_vanishes_ends_the_run_and_is_not_made_again(tmp_path, replaced):
    workdir = tmp_path / "run"

    def vanish():
        shutil.rmtree(workdir)
        if replaced:
            workdir.mkdir()

    error = "must stay where it is, got .* deleted, moved or replaced while the run"
    with pytest.raises(RefusedError, match=error):
        run(workdir, ActingOnce(vanish))
    assert workdir.exists() == replaced
    assert not replaced or not any(workdir.iterdir())


def test_lock_file_that_is_deleted_is_locked_anew(tmp_path):
    assert int(
        run(tmp_path, ActingOnce(tmp_path.joinpath("run.lock").unlink)).state.step
    )
    assert (tmp_path / "run.lock").exists()


def test_run_whose_lock_another_has_taken_saves_no_more(tmp_path):
    file = tmp_path / "run.lock"
    with contextlib.ExitStack() as stack:

        def take():
            file.unlink()
            other = stack.enter_context(file.open("w"))
            other.write("someone else")
            other.flush()
            fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(RefusedError, match="which someone else trains in"):
            run(tmp_path, ActingOnce(take))
    assert not any((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_lock_of_another_process_ends_with_it_however_it_ends(tmp_path):
    def is_held():
        return any(tmp_path.glob("held*"))

    with start_python("-c", HOLDER, tmp_path, "fork") as holder:
        holder.wait_for(is_held, "held")
        pid = holder.process.pid
        error = f"which process {pid} on {os.uname().nodename} trains in"
        with pytest.raises(RefusedError, match=error):
            run(tmp_path)
        holder.process.send_signal(signal.SIGKILL)
        holder.process.wait()
        # The forked process is still alive, but does not hold the lock.
        forked = int((tmp_path / "forked").read_text())
        os.kill(forked, 0)
        assert int(run(tmp_path).state.step) == 12
        os.kill(forked, signal.SIGKILL)
        time.sleep(0.05)
