import concurrent.futures
import csv
import dataclasses
import itertools
import logging
import os
import pickle
import signal
import time
import types
from typing import Any

import chex
import jax
import numpy as np
import pytest
from PIL import Image

from carafe_jax.errors import RefusedError
from carafe_jax.train import (
    Adam,
    Loop,
    NotFiniteError,
    restore_trained,
    train,
)
from carafe_jax.train.checkpoints import Checkpoints
from carafe_jax.train.mesh import make_mesh
from carafe_jax.train.step import CompiledStep, init_state
from tests.train.toy import CountedBatches, PowerCut, Regression, Scores

optimizer = Adam(learning_rate=0.05, warmup_steps=2)
loop = Loop(steps=12, log_every=5, evaluate_every=4, save_every=4)


def run(workdir, task=None, loop=loop):
    return train(task or Regression(), optimizer=optimizer, loop=loop, workdir=workdir)


class Killed(Regression):
    """Sends its own process a signal when a batch is taken."""

    def __init__(self, at: int, number: signal.Signals) -> None:
        super().__init__()
        self.at, self.number = at, number

    def batches(self):
        killed = self

        class KillingBatches(CountedBatches):
            def __next__(self):
                if self.taken == killed.at:
                    os.kill(os.getpid(), killed.number)
                return super().__next__()

        return KillingBatches(self.size)


def read_scalars(workdir):
    with (workdir / "scalars.csv").open(newline="") as file:
        return [(int(r["step"]), r["split"], r["name"]) for r in csv.DictReader(file)]


def test_training_lowers_the_loss(tmp_path):
    outcome = run(tmp_path, loop=Loop(steps=200, log_every=50, evaluate_every=100))
    first = Scores().evaluate(
        init_state(Regression(), optimizer, loop, mesh=make_mesh())
    )
    assert outcome.scalars is not None
    assert outcome.scalars["score"] > first["score"] / 4
    assert outcome.interrupted_by is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", [0, 3, 4, 10])
def test_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path, number, at
):
    whole = run(tmp_path / "whole")
    stopped = run(tmp_path / "parts", Killed(at, number))
    assert stopped.interrupted_by == number
    # Before the first step, which is not compiled yet, no step is run.
    assert int(stopped.state.step) == (at + 1 if at else 0)
    resumed = run(tmp_path / "parts")
    assert int(resumed.state.step) == loop.steps
    chex.assert_trees_all_equal(resumed.state.params, whole.state.params)
    chex.assert_trees_all_equal(resumed.state.opt_state, whole.state.opt_state)
    chex.assert_trees_all_equal(resumed.state.collections, whole.state.collections)
    assert resumed.scalars == whole.scalars


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def test_finished_run_is_not_trained_further(tmp_path):
    whole = run(tmp_path)
    again = run(tmp_path)
    chex.assert_trees_all_equal(again.state.params, whole.state.params)
    assert again.scalars is None


def test_last_and_best_checkpoints_are_kept(tmp_path):
    task = Regression(scores=(1.0, 9.0, 3.0))
    outcome = run(tmp_path, task)
    checkpoints = Checkpoints(tmp_path, best="score")
    assert checkpoints.last_step == 12
    assert checkpoints.best_step == 8
    state = init_state(task, optimizer, loop, mesh=make_mesh())
    last = checkpoints.restore(state, step=12)
    best = checkpoints.restore(state, step=8)
    checkpoints.close()
    chex.assert_trees_all_equal(last.params, outcome.state.params)
    assert int(best.step) == 8
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {"8", "12"}


@pytest.mark.parametrize("after", [0, 5, 7])
def test_loss_that_is_not_finite_stops_the_run_with_its_step(tmp_path, after):
    with pytest.raises(
        NotFiniteError, match=rf"nan .* at step {after + 1};.*smaller learning rate"
    ):
        run(tmp_path, Regression(nan_after=after))
    checkpoints = Checkpoints(tmp_path, best="score")
    assert (checkpoints.last_step or 0) <= after
    checkpoints.close()


def test_scalars_are_written_once_for_each_step(tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "parts", Killed(6, signal.SIGTERM))
    run(tmp_path / "parts")
    rows = read_scalars(tmp_path / "parts")
    assert len(rows) == len(set(rows))
    evaluations = [row for row in rows if row[1] == "test"]
    assert evaluations == [
        (4, "test", "score"),
        (8, "test", "score"),
        (12, "test", "score"),
    ]
    assert {row for row in read_scalars(tmp_path / "whole") if row[1] == "test"} == set(
        evaluations
    )


def test_scalars_written_after_the_checkpoint_are_forgotten(tmp_path):
    # The run dies at step 11 without a signal: its last checkpoint is from step 8.
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
    assert max(row[0] for row in read_scalars(tmp_path)) == 10
    whole = run(tmp_path / "whole")
    resumed = run(tmp_path)
    chex.assert_trees_all_equal(resumed.state.params, whole.state.params)
    rows = read_scalars(tmp_path)
    assert len(rows) == len(set(rows))


def test_tensorboard_files_are_written(tmp_path):
    run(tmp_path)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_state_and_steps_depend_on_the_seed(tmp_path):
    a: Any = run(tmp_path / "a")
    b: Any = run(tmp_path / "b", loop=Loop(steps=12, seed=1))
    assert not np.array_equal(a.state.params["w"], b.state.params["w"])


def test_mesh_holds_every_device_on_the_batch_axis():
    assert make_mesh().shape == {"batch": jax.device_count()}


def test_checkpoint_from_after_the_last_step_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(RefusedError, match=r"must be at least 12 steps, .* got 10\."):
        run(tmp_path, loop=Loop(steps=10))


def test_stopped_run_has_the_records_and_the_best_of_a_whole_one(tmp_path):
    whole = Regression(scores=(9.0, 1.0, 3.0))
    run(tmp_path / "whole", whole)
    parts = Killed(3, signal.SIGTERM)
    parts.scores = (9.0,)
    run(tmp_path / "parts", parts)
    run(tmp_path / "parts", Regression(scores=(1.0, 3.0)))
    tests = [row for row in read_scalars(tmp_path / "parts") if row[1] == "test"]
    assert [step for step, _, _ in tests] == [4, 8, 12]
    checkpoints = Checkpoints(tmp_path / "parts", best="score")
    assert checkpoints.best_step == 4
    checkpoints.close()


def test_trained_variables_are_restored(tmp_path):
    end: Any = run(tmp_path, Regression(scores=(1.0, 3.0, 2.0)))
    variables, step = restore_trained(tmp_path, best="score", which="last")
    assert step == 12
    chex.assert_trees_all_equal(variables, end.state.evaluation_variables)
    _, step = restore_trained(tmp_path, best="score", which="best")
    assert step == 8


def test_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(
        RefusedError, match=r"`workdir` must have a last checkpoint, .* has none\."
    ):
        restore_trained(tmp_path / "a", best="score", which="last")
    assert not (tmp_path / "a").exists()
    run(tmp_path / "b", Killed(1, signal.SIGTERM))
    with pytest.raises(
        RefusedError,
        match=r"`model` must have a best checkpoint, .*b', which has only the last one",
    ):
        restore_trained(tmp_path / "b", best="score", which="best", argument="model")


def test_restoring_does_not_disturb_a_running_save(tmp_path):
    run(tmp_path)
    # As orbax names the folder of a save until it is finished.
    saving = tmp_path / "checkpoints" / "13.orbax-checkpoint-tmp"
    saving.mkdir()
    _, step = restore_trained(tmp_path, best="score", which="last")
    assert step == 12
    assert saving.exists()
    Checkpoints(tmp_path, best="score").close()
    # Orbax deletes in the background.
    for _ in range(100):
        if not saving.exists():
            break
        time.sleep(0.1)
    assert not saving.exists()


class Drawn(Scores):
    """Draws the weights as grey levels."""

    def draw(self, state):
        level = np.clip(128 + 32 * np.asarray(state.params["w"]), 0, 255)
        picture = np.broadcast_to(level[None, :, None], (2, 3, 3))
        return {"weights": picture.astype(np.uint8)}


def test_pictures_are_drawn_at_every_evaluation(tmp_path):
    run(tmp_path, Regression(measures=(Drawn(),)))
    files = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in files] == [
        f"test_weights_{step:07d}.png" for step in (4, 8, 12)
    ]
    first, *_, last = (np.asarray(Image.open(file)) for file in files)
    assert first.shape == (2, 3, 3)
    assert (first != last).any()


def test_an_evaluator_that_does_not_draw_has_no_pictures(tmp_path):
    run(tmp_path)
    assert not (tmp_path / "pictures").exists()


def test_evaluators_have_their_own_names_and_cadences(tmp_path):
    measures = (Scores("small", every=3, scalar="quick"), Scores("test"))
    run(tmp_path, Regression(measures=measures))
    rows = [row for row in read_scalars(tmp_path) if row[1] != "train"]
    assert rows == [
        (3, "small", "quick"),
        (4, "test", "score"),
        (6, "small", "quick"),
        (8, "test", "score"),
        (9, "small", "quick"),
        (12, "small", "quick"),
        (12, "test", "score"),
    ]


def test_best_checkpoint_is_that_of_the_evaluator_that_measures_it(tmp_path):
    # The checkpoints of steps 3, 6, 9 and 12 have no score, even though the other
    # evaluator returns one.
    measures = (
        Scores("small", every=3, scalar="quick", scores=(0.0, 99.0, 0.0, 0.0)),
        Scores("test", scores=(5.0, 1.0, 3.0)),
    )
    outcome = run(tmp_path, Regression(measures=measures))
    assert outcome.scalars == {"score": 3.0}
    checkpoints = Checkpoints(tmp_path, best="score")
    assert checkpoints.best_step == 4
    checkpoints.close()


def test_task_whose_evaluators_do_not_measure_the_best_is_refused(tmp_path):
    task = Regression(measures=(Scores("test", scalar="other"),))
    with pytest.raises(RefusedError, match=r"must measure 'score', .* among test"):
        run(tmp_path, task)
    # Refused at the first evaluation, not after the last step.
    _, step = restore_trained(tmp_path, best="score", which="last")
    assert step == loop.evaluate_every


def test_measure_of_the_best_is_missed_once_all_evaluators_were_due(tmp_path):
    measures = (
        Scores("small", every=3, scalar="quick"),
        Scores("test", every=2, scalar="other"),
    )
    with pytest.raises(RefusedError, match=r"got none among small, test\."):
        run(tmp_path, Regression(measures=measures))
    _, step = restore_trained(tmp_path, best="score", which="last")
    assert step == 6


def test_task_without_evaluators_is_trained(tmp_path):
    assert run(tmp_path, Regression(measures=())).scalars is None
    _, step = restore_trained(tmp_path, best="score", which="last")
    assert step == loop.steps


def test_length_can_be_in_epochs(tmp_path):
    outcome = run(tmp_path, loop=Loop(epochs=2))
    assert int(outcome.state.step) == 2 * Regression().steps_per_epoch()
    tests = [row for row in read_scalars(tmp_path) if row[1] == "test"]
    assert [step for step, _, _ in tests] == [3, 6]


def test_length_in_steps_can_be_evaluated_after_each_epoch(tmp_path):
    run(tmp_path, loop=Loop(steps=7))
    tests = [row for row in read_scalars(tmp_path) if row[1] == "test"]
    assert [step for step, _, _ in tests] == [3, 6, 7]


def test_length_in_steps_needs_no_epoch(tmp_path):
    class Endless(Regression):
        def steps_per_epoch(self):
            raise AssertionError("The steps of an epoch are not known.")

    assert int(run(tmp_path, Endless()).state.step) == loop.steps


@pytest.mark.parametrize("stopped", [False, True])
def test_run_that_grows_logs_its_learning_rate(tmp_path, caplog, stopped):
    caplog.set_level(logging.INFO, "carafe_jax")
    before: Any = run(tmp_path, Killed(3, signal.SIGTERM) if stopped else Regression())
    step = int(before.state.step)
    grown = run(tmp_path, loop=dataclasses.replace(loop, steps=20))
    assert int(grown.state.step) == 20
    old, new = optimizer.schedule(12), optimizer.schedule(20)
    assert (
        f"The run grows from 12 to 20 steps: its learning rate continues at "
        f"{new(step):.3g} (it ended at {old(step - 1):.3g})."
    ) in caplog.messages


def test_run_of_the_same_length_does_not_grow(tmp_path, caplog):
    caplog.set_level(logging.INFO, "carafe_jax")
    run(tmp_path, Killed(3, signal.SIGTERM))
    run(tmp_path)
    assert not [line for line in caplog.messages if "grows" in line]


def read_values(workdir, name):
    with (workdir / "scalars.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == name]
    return {int(row["step"]): float(row["value"]) for row in rows}


def test_learning_rates_of_the_last_steps_are_recorded(tmp_path):
    factors = Adam(learning_rate=0.05, warmup_steps=2, rate_factors=(("w", 0.1),))
    train(Regression(), optimizer=factors, loop=loop, workdir=tmp_path)
    schedule = factors.schedule(loop.total_steps)
    found = read_values(tmp_path, "learning_rate")
    assert set(found) == {4, 5, 8, 10, 12}
    for step, rate in found.items():
        assert rate == pytest.approx(float(np.asarray(schedule(step - 1))))
        assert read_values(tmp_path, "learning_rate_w")[step] == pytest.approx(
            0.1 * rate
        )


def test_images_per_second_leave_compiling_out(tmp_path, monkeypatch):
    now = itertools.count()
    clock = types.SimpleNamespace(perf_counter=lambda: next(now))
    monkeypatch.setattr("carafe_jax.train.log.time", clock)
    compile_step = CompiledStep.compile

    def slow(self: CompiledStep, state: Any, batch: Any) -> None:
        for _ in range(1000):
            next(now)
        compile_step(self, state, batch)

    monkeypatch.setattr(CompiledStep, "compile", slow)
    run(tmp_path, loop=Loop(steps=4, log_every=2, evaluate_every=4))
    speeds = read_values(tmp_path, "images_per_second")
    # Eight examples between two readings of the clock.
    assert speeds == {2: 8, 4: 8}


def test_batches_of_several_shapes_are_trained_on(tmp_path):
    class Growing(Regression):
        def batches(self):
            class GrowingBatches(CountedBatches):
                def __next__(self):
                    self.size = 4 + 4 * (self.taken % 2)
                    return super().__next__()

            return GrowingBatches(4)

    assert int(run(tmp_path, Growing()).state.step) == loop.steps


def test_error_of_a_loss_that_is_not_finite_survives_pickling():
    error = pickle.loads(pickle.dumps(NotFiniteError("The loss is nan.")))
    assert isinstance(error, NotFiniteError)
    assert str(error) == "The loss is nan."


class Measured(Scores):
    """Returns a score that may be no number."""

    score: Any = None

    def evaluate(self, state):
        return {"score": self.score}


@pytest.mark.parametrize("score", [None, "high", np.ones(2)])
def test_scalar_that_is_no_number_is_refused_by_name(tmp_path, score):
    evaluator: Any = Measured()
    evaluator.score = score
    error = "'score' of the evaluator 'test' must be a number, got"
    with pytest.raises(RefusedError, match=error):
        run(tmp_path, Regression(measures=(evaluator,)))


def test_scalar_may_be_an_array_of_one_number(tmp_path):
    evaluator: Any = Measured()
    evaluator.score = jax.numpy.ones(())
    outcome = run(tmp_path, Regression(measures=(evaluator,)))
    assert outcome.scalars == {"score": 1.0}


class Sheets(Scores):
    """Draws given pictures."""

    pictures: Any = None

    def draw(self, state):
        return self.pictures


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("a/b", np.zeros((2, 3, 3), np.uint8)),
        ("a", np.zeros((2, 3, 3), np.float32)),
        ("a", np.zeros((2, 3), np.uint8)),
        ("a", np.zeros((2, 3, 4), np.uint8)),
    ],
)
def test_invalid_picture_is_refused_by_name(tmp_path, name, picture):
    evaluator = Sheets()
    evaluator.pictures = {name: picture}
    error = f"The picture '{name}' of the evaluator 'test' must"
    with pytest.raises(RefusedError, match=error):
        run(tmp_path, Regression(measures=(evaluator,)))


def test_picture_may_be_an_array_of_jax(tmp_path):
    evaluator = Sheets()
    evaluator.pictures = {"a": jax.numpy.zeros((2, 3, 3), jax.numpy.uint8)}
    run(tmp_path, Regression(measures=(evaluator,)))
    assert (tmp_path / "pictures" / "test_a_0000012.png").exists()


def test_run_outside_the_main_thread_handles_no_signal(tmp_path):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        outcome = pool.submit(run, tmp_path).result()
    assert int(outcome.state.step) == loop.steps
