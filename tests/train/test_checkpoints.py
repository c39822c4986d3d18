"""Folders of checkpoints that are damaged or cannot be loaded."""

import contextlib
import dataclasses
import json
import math
import shutil
import signal

import chex
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import restore_trained
from carafe_jax.train.checkpoints import Checkpoints
from tests.train.test_loop import Killed, loop, run
from tests.train.toy import Regression


@dataclasses.dataclass
class Wide(Regression):
    """Task whose parameters have other shapes than those of `Regression`."""

    def init(self, key):
        params = {"v": jax.random.normal(key, (5,)), "b": jnp.zeros(())}
        return {"params": params, "statistics": {"seen": jnp.zeros(())}}

    def loss(self, variables, batch, key):
        v = variables["params"]["v"]
        params = {"w": v[:3], "b": variables["params"]["b"]}
        return super().loss({**variables, "params": params}, batch, key)


def found(workdir):
    """Return the last and the best step of a run."""
    checkpoints = Checkpoints(workdir, best="score", read_only=True)
    with contextlib.closing(checkpoints):
        return checkpoints.last_step, checkpoints.best_step


@pytest.mark.parametrize("name", ["run[1]", "run[", "run]"])
def test_path_with_brackets_is_refused_before_anything_is_compiled(
    tmp_path, monkeypatch, name
):
    monkeypatch.setattr(Regression, "init", lambda *_: pytest.fail("compiled"))
    with pytest.raises(RefusedError, match="`workdir` must be a path without brackets"):
        run(tmp_path / name / "a")
    assert not (tmp_path / name).exists()


def test_score_that_is_nan_is_never_the_best(tmp_path):
    run(tmp_path, Regression(scores=(math.nan, 1.0, math.nan)))
    assert found(tmp_path) == (12, 8)


def test_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(RefusedError, match="must have a folder of checkpoints, got"):
        run(tmp_path)
    with pytest.raises(RefusedError, match="which is a file"):
        restore_trained(tmp_path, best="score", which="last")


@pytest.mark.parametrize("which", ["newest", None, 5])
def test_unknown_choice_of_a_checkpoint_is_refused(tmp_path, which):
    message = f"`which` must be one of 'best', 'last', got {which!r}"
    with pytest.raises(RefusedError, match=message):
        restore_trained(tmp_path, best="score", which=which)


def test_run_is_resumed_from_the_last_checkpoint_with_a_state(tmp_path):
    run(tmp_path, Regression(scores=(1.0, 9.0, 3.0)))
    shutil.rmtree(tmp_path / "checkpoints" / "12" / "state")
    assert found(tmp_path) == (8, 8)
    run(tmp_path, Regression(scores=(3.0,)))
    assert found(tmp_path) == (12, 8)
    assert (tmp_path / "checkpoints" / "12" / "state").exists()


# A missing manifest is not tried: orbax then leaves threads behind that warn later.
@pytest.mark.parametrize("part", ["state/_METADATA", "batches"])
def test_damaged_checkpoint_is_refused_by_its_step(tmp_path, part):
    run(tmp_path)
    damaged = tmp_path / "checkpoints" / "12" / part
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    error = r"The checkpoint of step 12, .*checkpoints/12, is damaged .*, delete "
    with pytest.raises(RefusedError, match=error):
        run(tmp_path)
    if part != "batches":
        with pytest.raises(RefusedError, match=error):
            restore_trained(tmp_path, best="score", which="last")


def test_checkpoint_of_another_network_is_refused(tmp_path):
    run(tmp_path, loop=dataclasses.replace(loop, steps=4))
    with pytest.raises(RefusedError, match=r"of step 4, .* or of another network: "):
        run(tmp_path, Wide())


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    path.write_bytes(b"")


def other(path):
    path.write_bytes(b'[1, "a"]')


@pytest.mark.parametrize("damage", [cut, zero, empty, other])
@pytest.mark.parametrize("part", ["state/_METADATA", "batches/metadata"])
def test_damaged_checkpoint_is_named_with_the_one_to_use_instead(
    tmp_path, part, damage
):
    run(tmp_path, Regression(scores=(9.0, 1.0, 3.0)))
    folder = tmp_path / "checkpoints" / "12"
    damage(folder / part)
    error = rf"of step 12.* {folder}.* damaged, delete {folder} to use that of step 4\."
    with pytest.raises(RefusedError, match=error):
        run(tmp_path)
    # Follows the advice of the message.
    shutil.rmtree(folder)
    assert int(run(tmp_path).state.step) == 12


def test_run_whose_checkpoints_are_all_damaged_can_start_afresh(tmp_path):
    run(tmp_path, loop=dataclasses.replace(loop, steps=4))
    folder = tmp_path / "checkpoints" / "4"
    empty(folder / "state" / "_METADATA")
    error = rf"damaged, delete {folder} to start afresh: there is no other"
    with pytest.raises(RefusedError, match=error):
        run(tmp_path)
    shutil.rmtree(folder)
    assert int(run(tmp_path).state.step) == 12


@pytest.mark.parametrize("damage", [cut, zero, empty, other])
def test_damaged_scalars_of_a_checkpoint_are_named(tmp_path, damage):
    run(tmp_path, Regression(scores=(9.0, 1.0, 3.0)))
    measured = tmp_path / "checkpoints" / "4" / "metrics" / "metrics"
    damage(measured)
    error = rf"{measured} must hold the number 'score', .* delete the folder"
    with pytest.raises(RefusedError, match=error):
        run(tmp_path)
    with pytest.raises(RefusedError, match=error):
        restore_trained(tmp_path, best="score", which="last")
    shutil.rmtree(measured.parent)
    assert found(tmp_path) == (12, 12)


def test_damaged_description_of_a_checkpoint_is_named(tmp_path):
    run(tmp_path)
    path = tmp_path / "checkpoints" / "12" / "_CHECKPOINT_METADATA"
    other(path)
    with pytest.raises(RefusedError, match=r"_CHECKPOINT_METADATA is damaged: delete"):
        run(tmp_path)
    path.unlink()
    assert found(tmp_path) == (12, 12)


def test_folder_without_a_state_is_deleted_with_a_log_line(tmp_path, caplog):
    run(tmp_path, Regression(scores=(9.0, 1.0, 3.0)))
    shutil.rmtree(tmp_path / "checkpoints" / "12" / "state")
    run(tmp_path)
    assert "checkpoints/12 holds no state, and is deleted." in caplog.text


@pytest.mark.parametrize("fails", ["save", "wait_until_finished"])
def test_failed_save_reports_free_space_and_how_to_resume(tmp_path, monkeypatch, fails):
    def fail(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: No space left on device\nspec")

    run(tmp_path, loop=dataclasses.replace(loop, steps=4))
    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, fails, fail)
        error = (
            r"could not be saved in .*checkpoints: RESOURCE_EXHAUSTED: No space left "
            r"on device \(\d+ of \d+ MiB are free there\)\. The same command resumes"
        )
        with pytest.raises(RefusedError, match=error):
            run(tmp_path)
    assert int(run(tmp_path).state.step) == 12


@pytest.mark.parametrize("position", [{}, {"other": 1}])
def test_position_of_the_data_that_does_not_fit_is_no_damage_of_the_state(
    tmp_path, position
):
    run(tmp_path)
    path = tmp_path / "checkpoints" / "12" / "batches" / "metadata"
    path.write_text(json.dumps(position))
    error = r"data cannot be set to their position at step 12: .*batches is damaged, "
    with pytest.raises(RefusedError, match=error):
        run(tmp_path)


def test_position_of_version_01_is_accepted(tmp_path):
    run(tmp_path, Killed(5, signal.SIGTERM))
    path = tmp_path / "checkpoints" / "6" / "batches" / "metadata"
    path.write_text('{"taken": 6}')
    resumed, whole = run(tmp_path), run(tmp_path / "whole")
    chex.assert_trees_all_equal(resumed.state.params, whole.state.params)
