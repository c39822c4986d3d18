"""Folders of checkpoints that are damaged, or that nothing could be loaded from."""

import contextlib
import dataclasses
import math
import shutil

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import restore_trained
from carafe_jax.train.checkpoints import Checkpoints
from tests.train.test_loop import loop, run
from tests.train.toy import Regression


@dataclasses.dataclass
class Wide(Regression):
    """A network of other shapes than that of `Regression`."""

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


def test_run_is_resumed_from_the_last_checkpoint_with_a_state(tmp_path):
    run(tmp_path, Regression(scores=(1.0, 9.0, 3.0)))
    shutil.rmtree(tmp_path / "checkpoints" / "12" / "state")
    assert found(tmp_path) == (8, 8)
    run(tmp_path, Regression(scores=(3.0,)))
    assert found(tmp_path) == (12, 8)
    assert (tmp_path / "checkpoints" / "12" / "state").exists()


# Without its manifest orbax fails as well, but leaves threads behind that warn later.
@pytest.mark.parametrize("part", ["state/_METADATA", "batches"])
def test_damaged_checkpoint_is_refused_by_its_step(tmp_path, part):
    run(tmp_path)
    damaged = tmp_path / "checkpoints" / "12" / part
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    error = r"The checkpoint of step 12 in .*checkpoints is damaged .*; delete its"
    with pytest.raises(RefusedError, match=error):
        run(tmp_path)
    if part != "batches":
        with pytest.raises(RefusedError, match=error):
            restore_trained(tmp_path, best="score", which="last")


def test_checkpoint_of_another_network_is_refused(tmp_path):
    run(tmp_path, loop=dataclasses.replace(loop, steps=4))
    with pytest.raises(RefusedError, match=r"of step 4 .* or of another network: "):
        run(tmp_path, Wide())
