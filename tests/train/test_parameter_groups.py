"""Parameters that are frozen, or have a learning rate or a decay of their own."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import (
    SGD,
    Adam,
    freeze_parameters,
    joint_learning_rates,
    partition_parameters,
)

PARAMS = {
    "backbone": {"stem": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}},
    "head": {"kernel": jnp.ones((2, 2))},
}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def updates(optimizer: Any, gradients=ONES, steps=10) -> Any:
    transformation = optimizer.transformation(steps)
    moved, _ = transformation.update(gradients, transformation.init(PARAMS), PARAMS)
    return jax.device_get(moved)


def plain(**fields):
    return SGD(
        **{
            "learning_rate": 1.0,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "warmup": 0.0,
            "milestones": (),
            **fields,
        }
    )


def adam(**fields):
    return Adam(learning_rate=1.0, warmup_steps=0, **fields)


def structure(transformation: optax.GradientTransformation):
    return jax.tree.structure(transformation.init(PARAMS))


def kernels(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)


def test_without_groups_the_state_of_adam_is_that_of_optax():
    expected = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(lambda _: 1.0, mask=kernels)
    )
    assert structure(Adam().transformation(10)) == structure(expected)


def test_without_groups_the_state_of_sgd_is_that_of_optax():
    expected = optax.chain(
        optax.add_decayed_weights(0.1, mask=kernels),
        optax.sgd(lambda _: 1.0, momentum=0.9, nesterov=True),
    )
    assert structure(SGD().transformation(10)) == structure(expected)


@pytest.mark.parametrize("make", [plain, adam])
def test_frozen_parameters_stay_and_have_no_decay(make):
    moved = updates(make(frozen=("^backbone/",), weight_decay=0.5))
    chex.assert_trees_all_equal(moved["backbone"], ZEROS["backbone"])
    assert (moved["head"]["kernel"] < 0).all()


def test_frozen_parameters_do_not_count_in_the_norm_that_is_clipped():
    # The moments of Adam show the gradients that it received, unlike its updates.
    gradients = {**ONES, "backbone": jax.tree.map(lambda x: 1e6 * x, ONES["backbone"])}
    transformation = adam(frozen=("backbone",), clip_norm=2.0).transformation(10)
    state: Any
    _, state = transformation.update(gradients, transformation.init(PARAMS), PARAMS)
    means = [x for x in jax.tree.leaves(state) if x.shape == (2, 2)]
    # The norm of four ones is 2, so nothing is clipped. The first moment is a tenth.
    np.testing.assert_allclose(means[0], 0.1, rtol=1e-6)


def test_learning_rate_of_a_group_has_its_factor():
    moved = updates(plain(rate_factors=(("backbone", 0.1),)))
    np.testing.assert_allclose(moved["backbone"]["stem"]["kernel"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(moved["head"]["kernel"], -1.0, rtol=1e-6)


def test_first_pattern_that_matches_counts():
    moved = updates(plain(rate_factors=(("stem/kernel", 0.5), ("backbone", 0.1))))
    np.testing.assert_allclose(moved["backbone"]["stem"]["kernel"], -0.5, rtol=1e-6)
    np.testing.assert_allclose(moved["backbone"]["stem"]["bias"], -0.1, rtol=1e-6)


@pytest.mark.parametrize("make", [plain, adam])
def test_weight_decay_of_a_group_replaces_the_default(make):
    optimizer = make(weight_decay=0.25, weight_decays=(("head", 0.125),))
    moved = updates(optimizer, ZEROS)
    np.testing.assert_allclose(moved["backbone"]["stem"]["kernel"], -0.25, rtol=1e-6)
    np.testing.assert_allclose(moved["head"]["kernel"], -0.125, rtol=1e-6)
    np.testing.assert_array_equal(moved["backbone"]["stem"]["bias"], 0)


def test_groups_change_nothing_where_they_equal_the_rest():
    grouped = adam(rate_factors=(("head", 1.0),), weight_decays=(("stem", 0.0),))
    chex.assert_trees_all_close(updates(grouped), updates(adam()), rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frozen", ("neck/",)),
        ("rate_factors", (("head", 1.0), ("neck/", 0.1))),
        ("weight_decays", (("neck/", 0.1),)),
    ],
)
def test_pattern_that_matches_no_parameter_is_refused_by_name(field, value):
    optimizer = Adam(**{field: value})
    with pytest.raises(RefusedError, match=f"`{field}` must match .* got 'neck/'"):
        optimizer.transformation(10).init(PARAMS)


def test_pattern_of_frozen_parameters_alone_is_no_error():
    updates(plain(frozen=("backbone",), rate_factors=(("stem", 0.1),)))


@pytest.mark.parametrize("kind", [Adam, SGD])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frozen", ("(",)),
        ("rate_factors", (("head", -1.0),)),
        ("weight_decays", (("head", float("nan")),)),
    ],
)
def test_invalid_groups_are_refused(kind, field, value):
    with pytest.raises(RefusedError, match=f"`{field}` must"):
        kind(**{field: value})


def test_predicate_on_the_path_freezes():
    seen = []

    def is_frozen(path: str) -> bool:
        seen.append(path)
        return path.endswith("bias")

    transformation = freeze_parameters(optax.sgd(1.0), is_frozen)
    moved: Any
    moved, _ = transformation.update(ONES, transformation.init(PARAMS))
    np.testing.assert_array_equal(moved["backbone"]["stem"]["bias"], 0)
    np.testing.assert_array_equal(moved["head"]["kernel"], -1)
    assert set(seen) == {
        "backbone/stem/kernel",
        "backbone/stem/bias",
        "head/kernel",
    }


def test_each_group_has_its_own_transformation():
    transformation = partition_parameters(
        {"head": optax.sgd(1.0), "rest": optax.sgd(0.5)},
        lambda path: "head" if path.startswith("head") else "rest",
    )
    moved: Any
    moved, _ = transformation.update(ONES, transformation.init(PARAMS))
    np.testing.assert_array_equal(moved["backbone"]["stem"]["bias"], -0.5)
    np.testing.assert_array_equal(moved["head"]["kernel"], -1)


def test_learning_rates_have_a_name_for_each_group():
    factors = (("backbone/", 0.1), ("^backbone", 0.2))
    rates: Any = adam(decay="none", rate_factors=factors).learning_rates(10)
    assert {name: float(rate(3)) for name, rate in rates.items()} == pytest.approx(
        {
            "learning_rate": 1.0,
            "learning_rate_backbone": 0.1,
            "learning_rate_backbone_2": 0.2,
        }
    )


def test_learning_rates_of_several_optimizers_have_their_names():
    rates = joint_learning_rates({"a": adam(), "b": plain()}, 10)
    assert list(rates) == ["a/learning_rate", "b/learning_rate"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frozen", ("",)),
        ("rate_factors", (("", 0.1),)),
        ("weight_decays", (("", 0.0),)),
    ],
)
def test_empty_pattern_is_refused(field, value):
    with pytest.raises(RefusedError, match=f"`{field}` must hold no empty pattern"):
        plain(**{field: value})


def test_nothing_left_to_train_is_refused():
    with pytest.raises(RefusedError, match="`frozen` must leave a parameter to train"):
        updates(plain(frozen=(".",)))
