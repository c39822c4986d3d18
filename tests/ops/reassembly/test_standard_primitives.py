"""Plain JAX consists of standard primitives only, and runs without compilation."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core
from jax.extend.core import primitives as core_primitives

from carafe_jax import ops
from carafe_jax.models import CARAFEConv
from carafe_jax.nn import CARAFE, CARAFEDownsample
from tests.ops.reassembly.cases import Case

SCALES = [2, "1/2", "3/2"]


def primitives(jaxpr):
    """Return the names of all primitives of a jaxpr and of its nested jaxprs."""
    names = set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        for inner in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr),
        ):
            if isinstance(inner, core.Jaxpr | core.ClosedJaxpr):
                names |= primitives(getattr(inner, "jaxpr", inner))
    return names


def standard_primitives():
    """Return the names of the primitives of JAX."""
    return {
        value.name
        for module in (jax.lax, core_primitives)
        for value in vars(module).values()
        if isinstance(value, core.Primitive)
    }


def arrays(scale):
    """Draw features, and logits for three taps along each side, of one group."""
    features, kernels, _ = Case(scale, 3, 1, (1, 5, 4, 2)).draw(np.float32, np.float32)
    up, down = {2: (2, 1), "1/2": (1, 2), "3/2": (3, 2)}[scale]
    shape = (1, (5 - 1) // down + 1, (4 - 1) // down + 1, up * up * 9)
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return features, kernels, logits


def with_gradients(function):
    def run(*operands):
        out, pull_back = jax.vjp(function, *operands)
        return out, pull_back(jnp.sin(out))

    return run


def with_second_order(function):
    return with_gradients(
        lambda *operands: jnp.concatenate(
            [x.ravel() for x in with_gradients(function)(*operands)[1]]
        )
    )


def by_pixel(scale, implementation):
    features, kernels, _ = arrays(scale)
    run = functools.partial(ops.reassemble, scale=scale, implementation=implementation)
    return run, (features, kernels)


def by_logits(scale, implementation):
    features, _, logits = arrays(scale)
    run = functools.partial(
        ops.reassemble_logits,
        scale=scale,
        kernel_size=3,
        implementation=implementation,
    )
    return run, (features, logits)


CALLS = [by_pixel, by_logits]


@pytest.mark.parametrize("derive", [with_gradients, with_second_order])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scale", SCALES)
def test_plain_jax_binds_no_primitive_of_its_own(scale, call, derive):
    run, operands = call(scale, "xla")
    found = primitives(jax.make_jaxpr(derive(run))(*operands).jaxpr)
    assert {"custom_vjp_call", "dot_general"} & found  # The jaxpr is not empty.
    assert "carafe_launch" not in found
    assert found <= standard_primitives()


def test_primitives_are_found_in_nested_jaxprs():
    # Checks the search that the test above depends on.
    run, operands = by_pixel(2, None)
    found = primitives(jax.make_jaxpr(with_gradients(run))(*operands).jaxpr)
    assert "carafe_launch" in found


@pytest.mark.parametrize("implementation", ["xla", None])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "scale", ["1/2", *(pytest.param(x, marks=pytest.mark.slow) for x in (2, "3/2"))]
)
def test_without_compilation_results_are_the_same(scale, call, implementation):
    run, operands = call(scale, implementation)
    expected = jax.jit(with_gradients(run))(*operands)
    with jax.disable_jit():
        actual = with_gradients(run)(*operands)
    # Float32 sums of some twenty products of about 1, fused or not.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
        actual,
        expected,
    )


@pytest.mark.parametrize("implementation", ["xla", None])
def test_vmap_without_compilation_is_a_loop(implementation):
    run, (features, kernels) = by_pixel("1/2", implementation)
    stacked = np.stack([features, 2 * features])
    with jax.disable_jit():
        actual = jax.vmap(run, in_axes=(0, None))(stacked, kernels)
    expected = [run(x, kernels) for x in stacked]
    np.testing.assert_allclose(actual, np.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", ["xla", None])
def test_a_layer_runs_without_compilation(implementation):
    layer = CARAFE(kernel_size=3, compressed_channels=4, implementation=implementation)
    features = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    variables = layer.init(jax.random.key(0), features)
    with jax.disable_jit():
        actual: Any = layer.apply(variables, features)
    expected: Any = jax.jit(layer.apply)(variables, features)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_block_of_a_network_passes_the_implementation_to_its_layer():
    block = CARAFEConv(
        4,
        reassembly=functools.partial(CARAFEDownsample, compressed_channels=4),
        implementation="xla",
    )
    features = jnp.ones((1, 4, 4, 2))

    def run(features):
        return block.init_with_output(jax.random.key(0), features)[0]

    assert "carafe_launch" not in primitives(jax.make_jaxpr(run)(features).jaxpr)
