"""Runs that are stopped by a signal or an error, in each of their phases."""

import dataclasses
import gc
import os
import signal
import socket
import time
from collections.abc import Callable

import chex
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import NotFiniteError, restore_trained
from carafe_jax.train.checkpoints import Checkpoints
from carafe_jax.train.signal_watch import respond_while_compiling
from carafe_jax.train.step import CompiledStep
from tests.subprocesses import run_python, start_python
from tests.train.test_loop import Killed, loop, read_scalars, run
from tests.train.toy import Regression, Scores, SeenBatches


def nothing() -> None:
    """Default action: do nothing."""


class ActingBatches(SeenBatches):
    """Batches that call a function after batch `at` is counted, before it is made."""

    def __init__(self, size: int, at: int, act: Callable[[], object]) -> None:
        super().__init__(size)
        self.at, self.act = at, act

    def __next__(self):
        batch = super().__next__()
        if self.taken > self.at:
            self.act()
        return batch


@dataclasses.dataclass
class Failing(Regression):
    """Task that calls a function when it makes batch `at`."""

    at: int = 7
    act: Callable[[], object] = nothing

    def batches(self):
        return ActingBatches(self.size, self.at, self.act)


def fail():
    raise RuntimeError("a worker was killed")


def end():
    raise StopIteration


def fail_after_a_signal():
    signal.raise_signal(signal.SIGTERM)
    fail()


def sleep_after_a_signal():
    signal.raise_signal(signal.SIGTERM)
    time.sleep(60)


def last_step(workdir):
    return restore_trained(workdir, best="score", which="last")[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder and the outcome of a run that was not stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, run(workdir)


def evaluations(workdir):
    return [row for row in read_scalars(workdir) if row[1] == "test"]


def assert_resumed_as_whole(workdir, whole):
    """Check that a resumed run equals an uninterrupted one, with its records."""
    resumed = run(workdir)
    chex.assert_trees_all_equal(resumed.state.params, whole[1].state.params)
    chex.assert_trees_all_equal(resumed.state.opt_state, whole[1].state.opt_state)
    assert evaluations(workdir) == evaluations(whole[0])


@pytest.mark.parametrize(("act", "error"), [(fail, RuntimeError), (end, StopIteration)])
def test_state_is_saved_where_the_next_batch_cannot_be_made(
    tmp_path, whole, caplog, act, error
):
    with pytest.raises(error):
        run(tmp_path, Failing(at=7, act=act))
    assert last_step(tmp_path) == 7
    assert "Stopped after step 7, which is saved." in caplog.messages
    assert error.__name__ not in caplog.text  # It is raised.
    assert_resumed_as_whole(tmp_path, whole)


def test_error_at_the_first_batch_saves_nothing(tmp_path, whole):
    with pytest.raises(RuntimeError, match="a worker was killed"):
        run(tmp_path, Failing(at=0, act=fail))
    with pytest.raises(RefusedError, match="has none"):
        last_step(tmp_path)
    assert_resumed_as_whole(tmp_path, whole)


def test_error_after_a_signal_ends_the_run_as_interrupted(tmp_path, whole, caplog):
    outcome = run(tmp_path, Failing(at=7, act=fail_after_a_signal))
    assert "RuntimeError: a worker was killed" in caplog.messages
    assert outcome.interrupted_by == signal.SIGTERM
    assert int(outcome.state.step) == last_step(tmp_path) == 7
    assert_resumed_as_whole(tmp_path, whole)


@pytest.mark.parametrize("at", [0, 7])
def test_missing_batch_is_not_waited_for_after_a_signal(
    tmp_path, whole, monkeypatch, at
):
    monkeypatch.setattr("carafe_jax.train.interruption.GRACE_SECONDS", 0.2)
    began = time.monotonic()
    outcome = run(tmp_path, Failing(at=at, act=sleep_after_a_signal))
    assert time.monotonic() - began < 50
    assert outcome.interrupted_by == signal.SIGTERM
    assert int(outcome.state.step) == at
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert_resumed_as_whole(tmp_path, whole)


def test_batch_that_arrives_soon_after_a_signal_is_trained_on(tmp_path):
    def act():
        signal.raise_signal(signal.SIGTERM)

    outcome = run(tmp_path, Failing(at=7, act=act))
    assert int(outcome.state.step) == 8
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_state_that_is_not_finite_is_not_saved_after_an_error(tmp_path):
    # The loss is normally checked when scalars are fetched, after the error.
    with pytest.raises(NotFiniteError, match="at step 7"):
        run(tmp_path, Failing(nan_after=6, at=7, act=fail))
    assert last_step(tmp_path) == 4


def test_error_is_raised_where_its_state_cannot_be_saved(tmp_path, monkeypatch, caplog):
    save = Checkpoints.save

    def full(self, state, position, scalars):
        if int(state.step) == 7:
            raise RefusedError("No space left.")
        save(self, state, position, scalars)

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(RuntimeError, match="a worker was killed"):
        run(tmp_path, Failing(at=7, act=fail))
    assert "Stopped after step 7, which is not saved. No space left." in caplog.messages
    assert last_step(tmp_path) == 4


@dataclasses.dataclass
class Acting(Scores):
    """Calls a function at evaluation `at`, by default the second."""

    act: Callable[[], object] = nothing
    at: int = 1

    def evaluate(self, state):
        if self.evaluations == self.at:
            self.act()
        return super().evaluate(state)


def test_state_is_saved_where_it_cannot_be_evaluated(tmp_path, whole):
    with pytest.raises(RuntimeError, match="a worker was killed"):
        run(tmp_path, Regression(measures=(Acting(act=fail),)))
    assert last_step(tmp_path) == 8
    resumed = run(tmp_path)
    chex.assert_trees_all_equal(resumed.state.params, whole[1].state.params)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_resumed_run_repeats_an_evaluation_that_failed(tmp_path, whole, at):
    # The first evaluator succeeds before the second fails.
    scores = (3.0, 1.0, 2.0)
    measures = (Scores("other", scores=scores), Acting(scalar="b", act=fail, at=at))
    with pytest.raises(RuntimeError, match="a worker was killed"):
        run(tmp_path, Regression(measures=measures))
    assert last_step(tmp_path) == 4 * (at + 1)
    again = (Scores("other", scores=scores[at:]), Scores(scalar="b"))
    resumed = run(tmp_path, Regression(measures=again))
    chex.assert_trees_all_equal(resumed.state.params, whole[1].state.params)
    assert resumed.scalars == {"score": 2.0}
    rows = [row[:2] for row in read_scalars(tmp_path) if row[1] != "train"]
    assert rows == [(x, name) for x in (4, 8, 12) for name in ("other", "test")]
    assert restore_trained(tmp_path, best="score", which="best")[1] == 4
    # Nothing is left to repeat.
    assert run(tmp_path, Regression(measures=(Scores(),))).scalars is None


def test_run_shortened_to_its_last_checkpoint_is_evaluated(tmp_path):
    run(tmp_path, Killed(6, signal.SIGTERM))
    shorter = dataclasses.replace(loop, steps=7)
    assert run(tmp_path, Regression(scores=(9.0,)), loop=shorter).scalars is not None
    assert restore_trained(tmp_path, best="score", which="best")[1] == 7


def test_signal_during_an_evaluation_ends_the_run_once_it_is_saved(tmp_path, whole):
    def act():
        signal.raise_signal(signal.SIGTERM)

    outcome = run(tmp_path, Regression(measures=(Acting(act=act),)))
    assert outcome.interrupted_by == signal.SIGTERM
    assert int(outcome.state.step) == last_step(tmp_path) == 8
    assert outcome.scalars is not None
    assert_resumed_as_whole(tmp_path, whole)


def test_signal_during_a_save_ends_the_run_once_it_is_saved(
    tmp_path, whole, monkeypatch
):
    save = Checkpoints.save

    def signalled(self, *args):
        signal.raise_signal(signal.SIGTERM)
        save(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", signalled)
        outcome = run(tmp_path)
    assert outcome.interrupted_by == signal.SIGTERM
    assert int(outcome.state.step) == last_step(tmp_path) == 4
    assert_resumed_as_whole(tmp_path, whole)


def test_signal_while_the_step_is_compiled_ends_the_run_before_it(
    tmp_path, whole, monkeypatch, caplog
):
    compile_step = CompiledStep.compile

    def signalled(self, state, batch):
        signal.raise_signal(signal.SIGTERM)
        compile_step(self, state, batch)

    with monkeypatch.context() as patch:
        patch.setattr(CompiledStep, "compile", signalled)
        outcome = run(tmp_path)
    assert outcome.interrupted_by == signal.SIGTERM
    assert int(outcome.state.step) == 0
    assert (
        "SIGTERM received: stopping when the step is compiled. Send it again to exit "
        "at once." in caplog.messages
    )
    assert_resumed_as_whole(tmp_path, whole)


BLOCKED = """
import ctypes, logging, sys
from carafe_jax.train.interruption import defer_signals
from carafe_jax.train.signal_watch import respond_while_compiling

logging.basicConfig(stream=sys.stdout, format="%(message)s", force=True)
lock = ctypes.CDLL(None).pthread_mutex_lock
mutex = ctypes.create_string_buffer(256)
with {"defer": defer_signals, "respond": respond_while_compiling}[sys.argv[1]]():
    lock(mutex)
    print("blocked", flush=True)
    lock(mutex)  # In C and without Python's lock, as XLA compiles.
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "number", "response"),
    [
        ("defer", signal.SIGINT, "saving after this step"),
        ("defer", signal.SIGTERM, "saving after this step"),
        ("respond", signal.SIGINT, "stopping when the current compilation"),
    ],
)
def test_signals_are_answered_while_the_main_thread_is_in_c(block, number, response):
    with start_python("-c", BLOCKED, block) as running:
        running.wait_for(lambda: "blocked" in running.stdout, "blocked")
        running.send_signal(number)
        line = f"{number.name} received: {response}"
        running.wait_for(lambda: line in running.stdout, "answered")
        time.sleep(1.5)  # Until then it would count as the same request.
        running.send_signal(number)
        running.finish(status=128 + number)


def test_keyboard_interrupt_that_is_raised_at_once_is_not_announced(caplog):
    def interrupt():
        with respond_while_compiling():
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not caplog.messages
    assert signal.set_wakeup_fd(-1) == -1


def test_descriptor_of_an_event_loop_is_left_alone(tmp_path):
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        try:
            outcome = run(tmp_path, Killed(6, signal.SIGTERM))
        finally:
            assert signal.set_wakeup_fd(-1) == writer.fileno()
    assert outcome.interrupted_by == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_notice_of_the_end_stops_the_run(tmp_path, whole, number):
    outcome = run(tmp_path, Killed(6, number))
    assert outcome.interrupted_by == number
    assert int(outcome.state.step) == 7
    assert signal.getsignal(number) is signal.SIG_DFL
    assert_resumed_as_whole(tmp_path, whole)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_notice_that_is_ignored_or_handled_stays_so(tmp_path, number):
    handled = []
    try:
        signal.signal(number, signal.SIG_IGN)  # As under `nohup`.
        assert run(tmp_path / "a", Killed(6, number)).interrupted_by is None
        signal.signal(number, lambda *_: handled.append(number))
        assert run(tmp_path / "b", Killed(6, number)).interrupted_by is None
    finally:
        signal.signal(number, signal.SIG_DFL)
    assert handled == [number]


def send_twice(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
        time.sleep(0.05)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_has_the_effect_that_it_had_before(tmp_path, monkeypatch, first):
    monkeypatch.setattr("carafe_jax.train.signal_watch.REPEATED_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Failing(at=7, act=lambda: send_twice(first, signal.SIGINT)))
    assert last_step(tmp_path) == 4
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # `timeout` signals its child and then its process group.
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        # Slurm sends a notice before the limit; systemd and terminals send SIGHUP too.
        (signal.SIGUSR1, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGHUP),
    ],
)
def test_repeated_signal_at_once_or_after_a_notice_changes_nothing(
    tmp_path, first, second
):
    outcome = run(tmp_path, Failing(at=7, act=lambda: send_twice(first, second)))
    assert outcome.interrupted_by == first
    assert int(outcome.state.step) == last_step(tmp_path) == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_during_the_last_evaluation_is_not_lost(tmp_path, number):
    def act():
        signal.raise_signal(number)

    task = Regression(measures=(Acting(every=6, act=act),))
    outcome = run(tmp_path, task)
    assert outcome.interrupted_by == number
    assert int(outcome.state.step) == last_step(tmp_path) == 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_while_the_last_save_is_waited_for_does_not_cut_it_off(
    tmp_path, whole, monkeypatch, number
):
    close = Checkpoints.close

    def signalled(self):
        signal.raise_signal(number)
        close(self)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "close", signalled)
        stopped = run(tmp_path, Killed(6, signal.SIGUSR1))
        ended = run(tmp_path)
    assert (stopped.interrupted_by, int(stopped.state.step)) == (signal.SIGUSR1, 7)
    assert ended.interrupted_by == number
    assert last_step(tmp_path) == 12
    chex.assert_trees_all_equal(ended.state.params, whole[1].state.params)


def test_batches_that_hang_at_their_end_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("carafe_jax.train.interruption.GRACE_SECONDS", 0.2)
    ended = []

    class Hanging(ActingBatches):
        def __del__(self):
            ended.append(self)

    task = Failing(at=3, act=sleep_after_a_signal)
    monkeypatch.setattr(task, "batches", lambda: Hanging(4, task.at, task.act))
    assert run(tmp_path, task).interrupted_by == signal.SIGTERM
    gc.collect()
    assert not ended


STOPPED = """
import sys, threading
from carafe_jax.cli.console import run
from tests.train.toy import Regression

def main(config, console):
    threading.Thread(target=threading.Event().wait).start()
    return int(sys.argv[1])

run(main, Regression, doc=None, args=[])
"""


@pytest.mark.slow
def test_command_that_a_signal_has_stopped_waits_for_no_other_thread():
    run_python("-c", STOPPED, "143", status=143, limit=60)
