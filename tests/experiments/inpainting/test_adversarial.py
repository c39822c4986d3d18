"""Adversarial runs on a few tiny crops."""

import dataclasses
import os
import subprocess
import sys
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import InpaintingData
from carafe_jax.models import GlobalLocalConfig as Generator
from carafe_jax.models import PatchGANConfig as Discriminator
from carafe_jax.train import Loop, train
from carafe_jax.train.mesh import make_mesh
from carafe_jax.train.step import init_state, make_train_step
from experiments.inpainting import adversarial, compare_generators, report
from experiments.inpainting.adversarial_task import AdversarialTask, Adversary, part
from experiments.inpainting.task import Loss


def tiny(workdir, *, steps=4, **generator):
    return adversarial.Adversarial(
        generator=Generator(width=4, compressed_channels=(2, 2), **generator),
        discriminator=Discriminator(features=(4, 4), kernel_size=3),
        data=InpaintingData(crop_size=16, batch_size=2, test_crops=1, read_threads=0),
        loop=Loop(steps=steps, log_every=1, evaluate_every=2, save_every=2),
        workdir=workdir,
    )


def task_of(config):
    return AdversarialTask(
        config.generator.make(),
        config.discriminator.make(),
        config.data,
        loss=config.loss,
        adversary=config.adversary,
    )


def main(config):
    console = Console(record=True, width=100)
    return adversarial.main(config, console), console.export_text()


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A task with its first variables and a batch."""
    config = tiny(tmp_path_factory.mktemp("run"), resampler="conv")
    task = task_of(config)
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


# The comparison below has those without CARAFE++.
@pytest.mark.parametrize("convolution", ["plain", "partial"])
@pytest.mark.slow
def test_run_ends_with_pictures_and_a_table(tmp_path, convolution):
    config = tiny(tmp_path, convolution=convolution)
    status, text = main(config)
    assert status == 0
    name = config.generator.name
    results = report.read_table(tmp_path / "table.csv")
    assert list(results) == ["mean colour", "biharmonic", name]
    assert all(np.isfinite(list(row.values())).all() for row in results.values())
    assert name in text
    drawn = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert drawn == ["samples_0000002.png", "samples_0000004.png"]
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (4 * 196 - 4, 24 + 2 * 196 - 4)


@pytest.mark.slow
def test_each_network_has_the_gradient_of_its_own_loss(example):
    config, task, variables, batch = example
    both = gradients(task, variables, batch)
    # Without an adversarial loss, the generator's is that of its reconstruction.
    alone = AdversarialTask(
        config.generator.make(),
        config.discriminator.make(),
        config.data,
        loss=config.loss,
        adversary=Adversary(weight=0.0),
    )
    reconstruction = gradients(alone, variables, batch)
    chex.assert_trees_all_equal(both["discriminator"], reconstruction["discriminator"])
    # Without a reconstruction loss, what is left is what the discriminator says.
    nothing = AdversarialTask(
        config.generator.make(),
        config.discriminator.make(),
        config.data,
        loss=Loss(hole=0.0, given=0.0),
        adversary=config.adversary,
    )
    deceit = gradients(nothing, variables, batch)
    chex.assert_trees_all_equal(both["discriminator"], deceit["discriminator"])
    total = jax.tree.map(jnp.add, reconstruction["generator"], deceit["generator"])
    # Float32 sums in another order.
    chex.assert_trees_all_close(both["generator"], total, atol=1e-6, rtol=1e-4)
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(deceit["generator"]))


def test_discriminator_is_asked_about_the_hole_alone(example):
    _, task, variables, batch = example
    nothing = {**batch, "mask": jnp.zeros_like(batch["mask"])}
    gradient = gradients(task, variables, nothing)
    assert all(
        (np.asarray(x) == 0).all() for x in jax.tree.leaves(gradient["discriminator"])
    )


@pytest.mark.slow
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


@pytest.mark.slow
def test_statistics_of_both_networks_move(example):
    _, task, variables, batch = example
    _, aside = task.loss(variables, batch, jax.random.key(0))
    chex.assert_trees_all_equal_structs(
        aside.collections, {k: v for k, v in variables.items() if k != "params"}
    )
    for name in ("generator", "discriminator"):
        before = jax.tree.leaves(part(variables, name)["batch_stats"])
        after = jax.tree.leaves(part(aside.collections, name)["batch_stats"])
        assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.slow
def test_resumed_run_has_the_same_bits(tmp_path):
    def run(folder, config):
        return train(
            task_of(config),
            optimizer=config.optimizer,
            loop=config.loop,
            workdir=tmp_path / folder,
        )

    config = tiny(tmp_path, resampler="conv")
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


@pytest.mark.slow
def test_four_devices_share_a_batch_and_exchange_sums_alone():
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.inpainting.four_devices"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all-reduce"


@pytest.mark.slow
def test_comparison_has_a_row_for_each_network(tmp_path):
    config = compare_generators.Comparison(
        base=tiny(tmp_path, steps=2),
        networks=("global_local", "partial_conv"),
        seeds=(0,),
    )
    console = Console(record=True, width=120)
    assert compare_generators.main(config, console) == 0
    text = console.export_text()
    assert "Global&Local" in text
    assert "Partial Conv" in text
    assert (tmp_path / "comparison.csv").exists()


@pytest.mark.parametrize("field", ["networks", "seeds"])
def test_nothing_to_compare_is_refused(field):
    with pytest.raises(ValueError, match=f"`{field}` must be one or more"):
        dataclasses.replace(compare_generators.Comparison(), **{field: ()})


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match="`weight` must not be negative, got -1"):
        Adversary(weight=-1.0)


def test_compressed_channels_of_none_are_refused():
    with pytest.raises(ValueError, match="`compressed_channels` must be positive"):
        Generator(compressed_channels=(0, 4))
