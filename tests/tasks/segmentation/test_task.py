"""The task of segmentation: its training step with each network."""

import dataclasses
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.data import ColourJitter
from carafe_jax.errors import RefusedError
from carafe_jax.models.segmentation import (
    SegmentationNetwork,
    SegmentationOutputs,
    SegmenterConfig,
)
from carafe_jax.tasks.segmentation import SegmentationRun, SegmentationTraining
from carafe_jax.tasks.segmentation import task as module
from carafe_jax.tasks.segmentation.loss import AUXILIARY_WEIGHT
from carafe_jax.train import Adam, Loop
from carafe_jax.train.mesh import make_mesh, put_batch
from carafe_jax.train.step import init_state, make_train_step
from tests.tasks.runs import segmentation
from tests.tasks.segmentation.drawn_folder import drawn_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return drawn_folder(tmp_path_factory.mktemp("pictures"))


def run_of(folder, *, batch_size=2, **fields) -> SegmentationRun:
    run = segmentation(folder, pathlib.Path("unused"), **fields)
    data = dataclasses.replace(run.data, batch_size=batch_size)
    return dataclasses.replace(run, data=data)


def steps_of(run: SegmentationRun, loop: Loop) -> list[Any]:
    """Return the scalars of each step."""
    task, mesh = run.make_task(), make_mesh()
    optimizer = Adam(learning_rate=0.02, warmup_steps=4, decay="none")
    state: Any = init_state(task, optimizer, loop, mesh=mesh)
    step = make_train_step(task, loop, mesh=mesh, optimizer=optimizer)
    scalars, batches = [], task.batches()
    for _ in range(loop.total_steps):
        state, found = step(state, put_batch(next(batches), mesh=mesh))
        scalars.append(jax.device_get(found))
    return scalars


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, pytest.param(2, marks=pytest.mark.weekly)])
def test_network_learns_a_small_set(folder, accumulate):
    loop = Loop(steps=40, accumulate=accumulate)
    scalars = steps_of(run_of(folder, batch_size=4), loop)
    losses = [x["loss"] for x in scalars]
    # Four equal classes have a loss of log 4 = 1.39.
    assert np.mean(losses[:3]) > 1
    assert np.mean(losses[-5:]) < 0.6
    assert np.mean([x["accuracy"] for x in scalars[-5:]]) > 0.8


@pytest.mark.slow
def test_unet_learns_a_small_set(folder):
    network = SegmenterConfig(
        architecture="unet", stage_features=(4, 8), compressed_channels=(2, 2)
    )
    scalars = steps_of(run_of(folder, batch_size=4, network=network), Loop(steps=40))
    losses = [x["loss"] for x in scalars]
    assert np.mean(losses[:3]) > 1
    assert np.mean(losses[-5:]) < 0.6
    assert np.mean([x["accuracy"] for x in scalars[-5:]]) > 0.8


NETWORKS: dict[str, Any] = {
    "pspnet": {"pooled_features": 4, "ppm_upsampler": "bilinear"},
    "psanet": {"attention_window": (5, 5)},
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NETWORKS)
def test_heads_with_dropout_and_an_auxiliary_loss_are_trained(folder, architecture):
    network = SegmenterConfig(
        architecture=architecture,  # pyright: ignore[reportArgumentType]
        depth=18,
        width=2,
        features=4,
        auxiliary_features=4,
        dropout=0.5,
        **NETWORKS[architecture],
    )
    task: Any = run_of(folder, network=network).make_task()
    variables = jax.jit(task.init)(jax.random.key(0))
    compute = jax.jit(jax.value_and_grad(task.loss, has_aux=True))
    batch = next(task.batches())
    found = [compute(variables, batch, jax.random.key(seed)) for seed in (0, 1, 0)]
    losses = [float(loss) for (loss, _), _ in found]
    assert losses[0] == losses[2] != losses[1]
    (loss, auxiliary), gradients = found[0]
    scalars = auxiliary.scalars
    total = scalars["classes"] + AUXILIARY_WEIGHT * scalars["auxiliary"]
    assert float(loss) == pytest.approx(float(total), rel=1e-6)
    assert set(auxiliary.collections) == {"batch_stats"}
    for part, own in gradients["params"].items():
        sizes = [float(abs(x).max()) for x in jax.tree.leaves(own)]
        assert np.isfinite(sizes).all(), part
        assert max(sizes) > 0, part


class EachPixel(SegmentationNetwork):
    """Logits of every fourth pixel, by its colour alone."""

    @nn.compact
    def outputs(self, images, train=False):
        logits = nn.Dense(self.classes, name="logits")(images[:, ::4, ::4])
        return SegmentationOutputs(logits, None)


@pytest.mark.parametrize("weight", [None, 1e-5])
def test_microbatches_weigh_as_much_as_their_pixels_that_count(folder, weight):
    weights = None if weight is None else (weight,) * 4
    training = SegmentationTraining(class_weights=weights)
    task: Any = dataclasses.replace(run_of(folder), training=training).make_task()
    fields: Any = {"backbone": None, "classes": len(task.classes.names)}
    task.network = EachPixel(**fields)
    first = next(task.batches())
    batch: Any = {name: np.concatenate([x, x]) for name, x in first.items()}
    # Every second image is in the second microbatch: all its labels are ignored.
    batch["label"][1::2] = 255
    found, mesh = [], make_mesh()
    for accumulate in (1, 2):
        loop, optimizer = Loop(steps=1, accumulate=accumulate), Adam()
        state: Any = init_state(task, optimizer, loop, mesh=mesh)
        step = make_train_step(task, loop, mesh=mesh, optimizer=optimizer)
        _, scalars = step(state, put_batch(batch, mesh=mesh))
        found.append({name: float(x) for name, x in scalars.items()})
    whole, accumulated = found
    assert accumulated == pytest.approx(whole, rel=1e-5)
    assert whole["gradient_norm"] > 0


def test_weights_of_the_classes_are_those_of_the_loss(folder):
    run = run_of(folder)
    batch = jax.tree.map(jnp.asarray, next(run.make_task().batches()))
    losses = []
    for weights in (None, (1.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0)):
        task: Any = dataclasses.replace(
            run, training=SegmentationTraining(class_weights=weights)
        ).make_task()
        fields: Any = {"backbone": None, "classes": len(task.classes.names)}
        task.network = EachPixel(**fields)
        variables = task.init(jax.random.key(0))
        losses.append(float(task.loss(variables, batch, jax.random.key(0))[0]))
    both, first, second = losses
    assert min(first, second) < both < max(first, second)


def test_another_number_of_weights_than_of_classes_is_refused(folder):
    training = SegmentationTraining(class_weights=(1.0, 2.0))
    run = dataclasses.replace(run_of(folder), training=training)
    rule = "`training.class_weights` must have 4 numbers, one for each class"
    with pytest.raises(RefusedError, match=rule):
        run.make_task()


@pytest.mark.parametrize(
    ("architecture", "labels_at", "expected"),
    [
        ("upernet", None, "centre"),
        ("upernet", "first", "first"),
        ("pspnet", None, "image"),
        ("pspnet", "centre", "centre"),
    ],
)
def test_labels_are_compared_as_in_the_published_code_or_as_chosen(
    folder, monkeypatch, architecture, labels_at, expected
):
    chosen = []

    def losses(network, variables, batch, key, **options):
        chosen.append((options["labels_at"], options["align_corners"]))
        raise StopIteration

    monkeypatch.setattr(module, "segmentation_losses", losses)
    run = dataclasses.replace(
        run_of(folder),
        network=SegmenterConfig(architecture=architecture),
        training=SegmentationTraining(labels_at=labels_at),
    )
    task: Any = run.make_task()
    with pytest.raises(StopIteration):
        task.loss({}, next(task.batches()), jax.random.key(0))
    assert chosen == [(expected, architecture == "pspnet")]


def test_unknown_pixels_of_the_loss_are_refused():
    labels_at: Any = "logits"
    with pytest.raises(RefusedError, match="`labels_at` must be one of 'first'"):
        SegmentationTraining(labels_at=labels_at)


@pytest.mark.parametrize("weights", [(1.0, -1.0), (1.0, math.inf), (0.0, 0.0), "12"])
def test_invalid_weights_of_classes_are_refused(weights):
    rule = "`class_weights` must be finite numbers that are not negative, not all 0"
    with pytest.raises(RefusedError, match=rule):
        SegmentationTraining(class_weights=weights)


def test_jitter_changes_the_images_that_the_loss_sees(folder, monkeypatch):
    seen = []

    def losses(network, variables, batch, key, **options):
        seen.append((batch["image"], options["labels_at"]))
        raise StopIteration

    monkeypatch.setattr(module, "segmentation_losses", losses)
    for jitter in (ColourJitter(), ColourJitter(brightness=0.4)):
        task: Any = dataclasses.replace(run_of(folder), jitter=jitter).make_task()
        batch = next(task.batches())
        with pytest.raises(StopIteration):
            task.loss({}, batch, jax.random.key(0))
    (plain, at), (jittered, _) = seen
    assert at == "centre"
    np.testing.assert_array_equal(plain, batch["image"])
    assert not np.array_equal(plain, jittered)
