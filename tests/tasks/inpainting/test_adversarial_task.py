"""Adversarial runs on a few tiny crops."""

import dataclasses
import json
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from carafe_jax.tasks.inpainting import AdversarialLoss, ReconstructionLoss, load
from carafe_jax.tasks.inpainting.joint_variables import part
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.tables import read_table
from carafe_jax.train import train
from carafe_jax.train.mesh import make_mesh
from carafe_jax.train.step import init_state, make_train_step
from tests.subprocesses import run_python
from tests.tasks.runs import adversarial, call


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A task with its first variables and a batch."""
    config = adversarial(tmp_path_factory.mktemp("run"), resampler="conv")
    task = config.make_task()
    variables: Any = jax.jit(task.init)(jax.random.key(0))
    return config, task, variables, jax.tree.map(jnp.asarray, next(task.batches()))


def gradients(task, variables, batch):
    params = variables["params"]

    @jax.jit
    def gradient(params):
        return jax.grad(
            lambda p: task.loss({**variables, "params": p}, batch, jax.random.key(0))[0]
        )(params)

    return gradient(params)


# Networks without CARAFE++ run in another test of this file.
@pytest.mark.parametrize(
    "convolution", ["plain", pytest.param("partial", marks=pytest.mark.weekly)]
)
def test_run_ends_with_pictures_and_a_table(tmp_path, convolution):
    config = adversarial(tmp_path, convolution=convolution)
    status, text = call(train_and_report, config)
    assert status == 0
    name = config.generator.name
    results = read_table(tmp_path / "table.csv")
    assert list(results) == ["mean colour", "biharmonic", "spline", name]
    assert all(np.isfinite(list(row.values())).all() for row in results.values())
    assert name in text
    drawn = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert drawn == ["test_samples_0000002.png", "test_samples_0000004.png"]
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (5 * 196 - 4, 26 + 2 * 196 - 4)


def test_each_network_has_the_gradient_of_its_own_loss(example):
    config, task, variables, batch = example
    both = gradients(task, variables, batch)
    # Without an adversarial loss, the generator's is that of its reconstruction.
    alone = dataclasses.replace(
        config, adversary=AdversarialLoss(weight=0.0)
    ).make_task()
    reconstruction = gradients(alone, variables, batch)
    chex.assert_trees_all_equal(both["discriminator"], reconstruction["discriminator"])
    # Without a reconstruction loss, only the adversarial loss is left.
    nothing = dataclasses.replace(
        config, loss=ReconstructionLoss(hole=0.0, given=0.0)
    ).make_task()
    deceit = gradients(nothing, variables, batch)
    chex.assert_trees_all_equal(both["discriminator"], deceit["discriminator"])
    total = jax.tree.map(jnp.add, reconstruction["generator"], deceit["generator"])
    # Float32 sums in another order.
    chex.assert_trees_all_close(both["generator"], total, atol=1e-6, rtol=1e-4)
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(deceit["generator"]))


def test_discriminator_is_evaluated_on_the_hole_alone(example):
    _, task, variables, batch = example
    nothing = {**batch, "mask": jnp.zeros_like(batch["mask"])}
    gradient = gradients(task, variables, nothing)
    assert all(
        (np.asarray(x) == 0).all() for x in jax.tree.leaves(gradient["discriminator"])
    )


def test_each_network_learns_at_its_own_rate(example):
    config, task, *_ = example
    frozen = dataclasses.replace(config.optimizer.generator, learning_rate=1e-30)
    optimizers = dataclasses.replace(config.optimizer, generator=frozen)
    mesh = make_mesh()
    state = init_state(task, optimizers, config.loop, mesh=mesh)
    before = jax.tree.map(np.asarray, state.params)
    step = make_train_step(task, config.loop, mesh=mesh)
    state, _ = step(state, next(task.batches()))
    chex.assert_trees_all_close(
        state.params["generator"], before["generator"], atol=1e-29
    )
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(),
        state.params["discriminator"],
        before["discriminator"],
    )
    assert max(jax.tree.leaves(moved)) > 1e-5


def test_statistics_of_both_networks_move(example):
    _, task, variables, batch = example
    _, auxiliary = task.loss(variables, batch, jax.random.key(0))
    chex.assert_trees_all_equal_structs(
        auxiliary.collections, {k: v for k, v in variables.items() if k != "params"}
    )
    for name in ("generator", "discriminator"):
        before = jax.tree.leaves(part(variables, name)["batch_stats"])
        after = jax.tree.leaves(part(auxiliary.collections, name)["batch_stats"])
        assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.weekly
def test_resumed_run_has_the_same_bits(tmp_path):
    def run(folder, config):
        return train(
            config.make_task(),
            optimizer=config.optimizer,
            loop=config.loop,
            workdir=tmp_path / folder,
        )

    config = adversarial(tmp_path, resampler="conv")
    whole = run("whole", config)
    halved = dataclasses.replace(config, loop=dataclasses.replace(config.loop, steps=2))
    run("halves", halved)
    resumed = run("halves", config)
    chex.assert_trees_all_equal(
        jax.tree.map(np.asarray, whole.state.params),
        jax.tree.map(np.asarray, resumed.state.params),
    )
    chex.assert_trees_all_equal(
        jax.tree.map(np.asarray, whole.state.opt_state),
        jax.tree.map(np.asarray, resumed.state.opt_state),
    )


@pytest.mark.weekly
def test_four_devices_share_a_batch_and_exchange_sums_alone():
    output = run_python(
        "-m",
        "tests.tasks.inpainting.four_devices",
        environment={"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"},
    )
    assert output.strip() == "all-reduce"


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match="`weight` must not be negative, got -1"):
        AdversarialLoss(weight=-1.0)


@pytest.mark.weekly
def test_run_of_version_01_is_loaded_and_made_longer(tmp_path):
    config = adversarial(tmp_path, steps=1, resampler="conv")
    assert call(train_and_report, config)[0] == 0
    stored = json.loads((tmp_path / "config.json").read_text())["config"]
    gone = ("start.", "loop.epochs", "data.unreadable_limit")
    new = ("frozen", "rate_factors", "weight_decays")
    old = {
        name: value
        for name, value in stored.items()
        if not name.startswith(gone) and not name.endswith(new)
    }
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert load(tmp_path, which="last").name == "Global&Local"
    loop = dataclasses.replace(config.loop, steps=2)
    longer = dataclasses.replace(config, loop=loop)
    assert call(train_and_report, longer)[0] == 0
