import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from carafe_jax.train import SGD, Adam
from carafe_jax.train.optimizers import rate_at


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Adam, "learning_rate", 0.0),
        (Adam, "learning_rate", float("nan")),
        (Adam, "learning_rate", float("inf")),
        (SGD, "learning_rate", float("inf")),
        (Adam, "clip_norm", -1.0),
        (Adam, "clip_norm", float("nan")),
        (Adam, "warmup_steps", -1),
        (Adam, "weight_decay", -0.1),
        (Adam, "muon_learning_rate", -0.1),
        (Adam, "muon_learning_rate", float("inf")),
        (Adam, "weight_decay", float("nan")),
        (Adam, "beta2", 1.0),
        (Adam, "beta2", float("nan")),
        (SGD, "learning_rate", 0.0),
        (SGD, "momentum", 1.0),
        (SGD, "momentum", float("nan")),
        (SGD, "weight_decay", -1.0),
        (SGD, "weight_decay", float("nan")),
        (SGD, "warmup", -0.1),
        (SGD, "milestones", (0.5, 0.4)),
        (SGD, "milestones", (0.01,)),
        (SGD, "milestones", (0.5, float("nan"))),
        (SGD, "warmup_steps", -1),
        (SGD, "warmup_start", 0.0),
        (SGD, "warmup_start", 1.5),
        (Adam, "power", 0.0),
    ],
)
def test_invalid_values_are_refused(kind, field, value):
    with pytest.raises(ValueError, match=f"`{field}` must"):
        kind(**{field: value})


def test_learning_rate_warms_up_and_decays_to_zero():
    schedule: Any = Adam(learning_rate=2.0, warmup_steps=10).schedule(100)
    assert float(schedule(0)) == 0
    assert float(schedule(5)) == pytest.approx(1.0)
    assert float(schedule(10)) == pytest.approx(2.0)
    # Cosine: half way down in the middle of the rest.
    assert float(schedule(55)) == pytest.approx(1.0)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-6)


def test_rate_without_a_decay_stays_after_its_warm_up():
    schedule: Any = Adam(learning_rate=2.0, warmup_steps=10, decay="none")
    rates = [float(schedule.schedule(100)(step)) for step in (5, 10, 50, 100)]
    assert rates == pytest.approx([1.0, 2.0, 2.0, 2.0])


def test_rate_without_decay_and_warm_up_is_there_from_the_start():
    schedule: Any = Adam(learning_rate=2.0, warmup_steps=0, decay="none")
    assert [float(schedule.schedule(9)(step)) for step in (0, 8)] == [2.0, 2.0]


def test_run_shorter_than_its_warm_up_has_finite_rates():
    schedule: Any = Adam(warmup_steps=50).schedule(1)
    assert np.isfinite(float(schedule(0)))


def test_polynomial_decay_falls_to_zero_after_the_warm_up():
    schedule: Any = Adam(
        learning_rate=2.0, warmup_steps=10, decay="polynomial", power=2.0
    ).schedule(110)
    assert float(schedule(5)) == pytest.approx(1.0)
    assert float(schedule(10)) == pytest.approx(2.0)
    assert float(schedule(60)) == pytest.approx(2.0 * 0.5**2)
    assert float(schedule(110)) == pytest.approx(0.0, abs=1e-6)


def test_weight_decay_leaves_biases_alone():
    transformation = Adam(weight_decay=0.1, warmup_steps=0).transformation(10)
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


def test_polynomial_decay_of_sgd_is_that_of_csail():
    sgd = SGD(learning_rate=0.02, warmup=0.0, decay="polynomial")
    schedule = sgd.schedule(100_000)
    for step in (0, 1, 50_000, 99_999):
        expected = 0.02 * (1 - step / 100_000) ** 0.9
        # The last rates are of a difference of float32 numbers near 1.
        assert rate_at(schedule, step) == pytest.approx(expected, rel=1e-2), step


def test_warm_up_in_steps_starts_from_its_own_fraction():
    sgd = SGD(
        learning_rate=2.0, warmup_steps=10, warmup_start=0.5, milestones=(0.6, 0.9)
    )
    schedule: Any = sgd.schedule(100)
    expected = {0: 1.0, 5: 1.5, 10: 2.0, 59: 2.0, 61: 0.2, 91: 0.02}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate), step
    # A run that is shorter than its warm-up still decays at its milestones.
    schedule = sgd.schedule(10)
    assert float(schedule(3)) == pytest.approx(1.5)
    assert float(schedule(6)) == pytest.approx(0.2)


def test_plain_momentum_and_decay_of_all_parameters_are_those_of_torch():
    sgd = SGD(
        learning_rate=1.0,
        momentum=0.5,
        nesterov=False,
        weight_decay=0.25,
        decayed="all",
        warmup=0.0,
    )
    params = {"kernel": jnp.ones((2, 2)), "scale": jnp.ones((2,))}
    zeros = {"kernel": jnp.zeros((2, 2)), "scale": jnp.zeros((2,))}
    updates: Any
    updates, _ = update_once(sgd, params, zeros)
    np.testing.assert_allclose(updates["kernel"], -0.25, rtol=1e-6)
    np.testing.assert_allclose(updates["scale"], -0.25, rtol=1e-6)


def test_decay_of_kernels_is_part_of_the_gradient_and_scales_have_none():
    sgd = SGD(learning_rate=1.0, momentum=0.5, weight_decay=0.25, warmup=0.0)
    transformation = sgd.transformation(10)
    params = {"kernel": jnp.ones((2, 2)), "scale": jnp.ones((2,))}
    zeros = {"kernel": jnp.zeros((2, 2)), "scale": jnp.zeros((2,))}
    updates: Any
    updates, _ = transformation.update(zeros, transformation.init(params), params)
    # Nesterov momentum: the first update is 1 + momentum times the gradient.
    np.testing.assert_allclose(updates["kernel"], -0.25 * 1.5, rtol=1e-6)
    np.testing.assert_array_equal(updates["scale"], 0)


def test_muon_turns_every_direction_of_a_kernel_alike_and_leaves_biases_to_adam():
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.ones((3, 3, 4, 8)), "bias": jnp.ones((8,))}
    gradients = {
        # Singular values from 1 to 1000.
        "kernel": jnp.asarray(rng.normal(size=(3, 3, 4, 8)) * np.logspace(0, 3, 8)),
        "bias": jnp.ones((8,)),
    }
    adam = Adam(learning_rate=0.1, warmup_steps=0, clip_norm=1e9)
    muon = dataclasses.replace(adam, muon_learning_rate=0.5)
    updates: Any
    updates, _ = update_once(muon, params, gradients)
    matrix = np.asarray(updates["kernel"]).reshape(36, 8)
    strengths = np.linalg.svd(matrix, compute_uv=False) / 0.5
    # Five Newton-Schulz steps reduce a spread of 1000 to this range.
    assert strengths.max() < 1.3
    assert strengths.min() > 0.2
    # Adam with Nesterov momentum, like Muon.
    nadam = optax.nadam(0.1, b1=adam.beta1, b2=adam.beta2)
    expected: Any
    expected, _ = nadam.update(gradients, nadam.init(params))
    np.testing.assert_allclose(updates["bias"], expected["bias"], rtol=1e-5)


def test_rate_of_muon_is_logged_beside_that_of_adam():
    optimizer = Adam(learning_rate=0.1, muon_learning_rate=0.5, warmup_steps=10)
    rates: Any = optimizer.learning_rates(100)
    assert float(rates["learning_rate"](10)) == pytest.approx(0.1)
    assert float(rates["muon_learning_rate"](10)) == pytest.approx(0.5)


def test_muon_leaves_frozen_parameters_and_follows_factors():
    params = {name: {"kernel": jnp.ones((4, 4))} for name in ("still", "slow", "fast")}
    muon = Adam(
        warmup_steps=0,
        muon_learning_rate=0.5,
        frozen=("still",),
        rate_factors=(("slow", 0.1),),
    )
    updates: Any
    updates, _ = update_once(muon, params, params)
    np.testing.assert_array_equal(updates["still"]["kernel"], 0)
    np.testing.assert_allclose(
        10 * updates["slow"]["kernel"], updates["fast"]["kernel"], rtol=1e-5
    )


def update_once(optimizer, params, gradients):
    transformation = optimizer.transformation(10)
    return transformation.update(gradients, transformation.init(params), params)
