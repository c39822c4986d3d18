import dataclasses
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.train import SGD, Loop, Optimizer, check_config


@dataclasses.dataclass(frozen=True)
class Run:
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    widths: tuple[int, ...] = (1, 2)
    workdir: pathlib.Path = dataclasses.field(
        default=pathlib.Path("runs"), metadata={"compared": False}
    )


def test_same_configuration_is_accepted_again(tmp_path):
    check_config(Run(), workdir=tmp_path / "run")
    check_config(Run(), workdir=tmp_path / "run")


def test_changed_field_is_named_with_both_values(tmp_path):
    check_config(Run(), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    changed = Run(optimizer=Optimizer(learning_rate=0.5), widths=(1, 3))
    with pytest.raises(
        ValueError, match=r"`optimizer.learning_rate` is 0.5 but was 0.001"
    ):
        check_config(changed, workdir=tmp_path)
    with pytest.raises(ValueError, match=r"`widths` is \[1, 3\] but was \[1, 2\]"):
        check_config(changed, workdir=tmp_path)


def test_folder_without_a_checkpoint_takes_any_configuration(tmp_path):
    check_config(Run(widths=(3,)), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    check_config(Run(widths=(3,)), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").rmdir()
    check_config(Run(), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir()
    check_config(Run(), workdir=tmp_path)


def test_fields_that_change_no_number_may_differ(tmp_path):
    check_config(Run(), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    check_config(Run(workdir=pathlib.Path("elsewhere")), workdir=tmp_path)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Optimizer, "learning_rate", 0.0),
        (Optimizer, "learning_rate", float("nan")),
        (Optimizer, "clip_norm", -1.0),
        (Optimizer, "warmup_steps", -1),
        (Optimizer, "weight_decay", -0.1),
        (Optimizer, "beta2", 1.0),
        (SGD, "learning_rate", 0.0),
        (SGD, "momentum", 1.0),
        (SGD, "weight_decay", -1.0),
        (SGD, "warmup", -0.1),
        (SGD, "milestones", (0.5, 0.4)),
        (SGD, "milestones", (0.01,)),
        (Loop, "steps", 0),
        (Loop, "accumulate", 0),
        (Loop, "average_decay", 1.0),
        (Loop, "log_every", 0),
        (Loop, "evaluate_every", 0),
        (Loop, "save_every", -5),
    ],
)
def test_values_that_make_no_sense_are_refused(kind, field, value):
    with pytest.raises(ValueError, match=f"`{field}` must"):
        kind(**{field: value})


def test_learning_rate_warms_up_and_decays_to_zero():
    schedule: Any = Optimizer(learning_rate=2.0, warmup_steps=10).schedule(100)
    assert float(schedule(0)) == 0
    assert float(schedule(5)) == pytest.approx(1.0)
    assert float(schedule(10)) == pytest.approx(2.0)
    # Cosine: half way down in the middle of the rest.
    assert float(schedule(55)) == pytest.approx(1.0)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-6)


def test_run_shorter_than_its_warm_up_has_finite_rates():
    schedule: Any = Optimizer(warmup_steps=50).schedule(1)
    assert np.isfinite(float(schedule(0)))


def test_weight_decay_leaves_biases_alone():
    transformation = Optimizer(weight_decay=0.1, warmup_steps=0).transformation(10)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2,))}
    zeros = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros((2,))}
    updates: Any
    updates, _ = transformation.update(zeros, transformation.init(params), params)
    assert (np.asarray(updates["kernel"]) < 0).all()
    np.testing.assert_array_equal(updates["bias"], 0)


def test_rate_of_ninety_epochs_is_that_of_goyal_et_al():
    schedule: Any = SGD(learning_rate=0.4).schedule(900)  # Ten steps an epoch.
    expected = {0: 0.04, 25: 0.22, 50: 0.4, 299: 0.4, 301: 0.04, 601: 4e-3, 801: 4e-4}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate), step


def test_cosine_falls_from_the_rate_to_zero():
    schedule: Any = SGD(learning_rate=2.0, warmup=0.1, decay="cosine").schedule(100)
    assert float(schedule(10)) == pytest.approx(2.0)
    assert float(schedule(55)) == pytest.approx(1.0)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-6)


def test_decay_of_kernels_is_part_of_the_gradient_and_scales_have_none():
    sgd = SGD(learning_rate=1.0, momentum=0.5, weight_decay=0.25, warmup=0.0)
    transformation = sgd.transformation(10)
    params = {"kernel": jnp.ones((2, 2)), "scale": jnp.ones((2,))}
    zeros = {"kernel": jnp.zeros((2, 2)), "scale": jnp.zeros((2,))}
    updates: Any
    updates, _ = transformation.update(zeros, transformation.init(params), params)
    # Nesterov looks a step ahead: 1 + momentum times the gradient.
    np.testing.assert_allclose(updates["kernel"], -0.25 * 1.5, rtol=1e-6)
    np.testing.assert_array_equal(updates["scale"], 0)
