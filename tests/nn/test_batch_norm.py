"""Batch normalisation with groups of examples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.nn import BatchNorm
from tests.subprocesses import run_python


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, size=shape).astype(np.float32)


def apply(features, *, train=True, **fields) -> tuple[Any, Any]:
    layer = BatchNorm(use_running_average=not train, **fields)
    variables = layer.init(jax.random.key(0), features)
    out, updated = layer.apply(variables, features, mutable="batch_stats")
    return out, updated["batch_stats"]


def test_batch_has_mean_zero_and_variance_one():
    out, _ = apply(draw(4, 5, 6, 3))
    # Float32 sums of 120 numbers; epsilon against a variance of 4.
    np.testing.assert_allclose(np.mean(out, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.var(out, (0, 1, 2)), 1, atol=1e-4)


def test_one_group_is_the_batch_norm_of_flax():
    features = draw(4, 5, 6, 3)
    layer = nn.BatchNorm(use_running_average=False, momentum=0.9)
    variables = layer.init(jax.random.key(0), features)
    expected, _ = layer.apply(variables, features, mutable="batch_stats")
    # The same sums in float32, in another order.
    np.testing.assert_allclose(apply(features)[0], expected, atol=1e-5)


def test_running_statistics_follow_mean_and_unbiased_variance():
    features = draw(4, 5, 6, 3)
    _, statistics = apply(features, momentum=0.75)
    mean, variance = np.mean(features, (0, 1, 2)), np.var(features, (0, 1, 2), ddof=1)
    np.testing.assert_allclose(statistics["mean"], 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], 0.75 + 0.25 * variance, rtol=1e-5)


def test_groups_are_normalised_one_by_one():
    features = draw(6, 4, 5, 2)
    out, statistics = apply(features, groups=3)
    alone = [apply(features[i : i + 2]) for i in (0, 2, 4)]
    np.testing.assert_allclose(out, np.concatenate([x for x, _ in alone]), atol=1e-6)
    for name in ("mean", "var"):
        expected = np.mean([s[name] for _, s in alone], axis=0)
        np.testing.assert_allclose(statistics[name], expected, rtol=1e-5)


def test_initialising_leaves_the_running_statistics_alone():
    layer = BatchNorm(use_running_average=False)
    statistics = layer.init(jax.random.key(0), draw(2, 3, 3, 2))["batch_stats"]
    np.testing.assert_array_equal(statistics["mean"], 0)
    np.testing.assert_array_equal(statistics["var"], 1)


def test_running_statistics_normalise_in_evaluation():
    features = draw(2, 3, 3, 2)
    layer = BatchNorm(epsilon=0.0)
    variables = {
        "params": {"scale": jnp.array([1.0, 2.0]), "bias": jnp.array([0.0, 5.0])},
        "batch_stats": {"mean": jnp.array([1.0, 2.0]), "var": jnp.array([4.0, 9.0])},
    }
    out: Any = layer.apply(variables, features, True)
    expected = (features - [1, 2]) / [2, 3] * [1, 2] + [0, 5]
    np.testing.assert_allclose(out, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_statistics_of_16_bit_maps_are_summed_in_float32(dtype):
    features = jnp.asarray(100 + draw(64, 16, 16, 1), dtype)
    out, statistics = apply(features)
    assert out.dtype == features.dtype
    assert statistics["mean"].dtype == jnp.float32
    mean = np.mean(np.float64(features))
    # A sum in 16 bits would stop growing, or overflow.
    np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-5)


def test_constant_map_has_finite_gradients():
    def loss(features):
        return jnp.sum(apply(features)[0] ** 2)

    assert np.isfinite(jax.grad(loss)(jnp.full((2, 3, 3, 2), 1e4))).all()


COLLECTIVES_ON_FOUR_DEVICES = """
import re, sys
import jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from carafe_jax.nn import BatchNorm

mesh = jax.make_mesh((4,), ("batch",), (AxisType.Auto,))
split = NamedSharding(mesh, PartitionSpec("batch"))
features = jax.device_put(jnp.ones((8, 3, 3, 2)), split)
layer = BatchNorm(use_running_average=False, groups=int(sys.argv[1]))
variables = layer.init(jax.random.key(0), features)
run = jax.jit(lambda v, x: layer.apply(v, x, mutable="batch_stats")[0])
text = run.lower(variables, features).compile().as_text()
print(sorted(set(re.findall("all-gather|all-to-all|all-reduce|permute", text))))
"""


# One group needs sums over all devices; one or more per device need none.
@pytest.mark.parametrize(
    ("groups", "collectives"), [(1, ["all-reduce"]), (4, []), (8, [])]
)
@pytest.mark.slow
def test_groups_within_a_device_need_no_communication(groups, collectives):
    output = run_python(
        "-c",
        COLLECTIVES_ON_FOUR_DEVICES,
        str(groups),
        environment={"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"},
    )
    assert output.strip() == str(collectives)


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (0, 3, 3, 2)])
def test_batches_without_a_variance_are_refused_in_training(shape):
    with pytest.raises(RefusedError, match="`features` must have more than one value"):
        apply(np.zeros(shape, np.float32))


@pytest.mark.parametrize("groups", [0, 3])
def test_groups_that_do_not_divide_the_batch_are_refused(groups):
    with pytest.raises(ValueError, match=f"`groups` must divide the 4 .* got {groups}"):
        apply(draw(4, 3, 3, 2), groups=groups)
