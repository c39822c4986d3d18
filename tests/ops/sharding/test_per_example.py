"""Functions of single examples on a mesh: operands, shared arrays, and axes."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from carafe_jax.ops import batch_axes, row_axes
from carafe_jax.ops.sharding import run_per_device

EXAMPLES = np.arange(12.0, dtype=np.float32).reshape(4, 3)
WEIGHTS = np.array([1, 2, 3], np.float32)


def weighted(examples, weights):
    examples, doubled = jnp.asarray(examples), 2 * jnp.asarray(weights)
    return run_per_device(lambda x, w: (x * w).sum(-1), examples, shared=[doubled])


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_shared_arrays_and_their_gradients_pass_through(kind):
    mesh = jax.make_mesh((1,), ("a",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        out = jax.jit(weighted)(EXAMPLES, WEIGHTS)
        grad = jax.jit(jax.grad(lambda w: weighted(EXAMPLES, w).sum()))(WEIGHTS)
    np.testing.assert_array_equal(out, EXAMPLES @ (2 * WEIGHTS))
    np.testing.assert_array_equal(grad, 2 * EXAMPLES.sum(0))


def test_without_a_mesh_the_function_is_called():
    np.testing.assert_array_equal(weighted(EXAMPLES, WEIGHTS), EXAMPLES @ (2 * WEIGHTS))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (contextlib.nullcontext, ("a", "b")),
        (lambda: row_axes("b"), ("a",)),
        (lambda: batch_axes("b"), ("b",)),
    ],
)
def test_axes_that_the_user_names_for_rows_do_not_split_examples(context, expected):
    mesh = AbstractMesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    with jax.sharding.use_abstract_mesh(mesh), context():
        # A new function: traces are cached, and do not know the axes.
        jaxpr = jax.make_jaxpr(lambda *x: weighted(*x))(EXAMPLES, WEIGHTS)
    (mapped,) = [x for x in jaxpr.eqns if x.primitive.name == "shard_map"]
    specs = mapped.params["in_specs"]
    assert specs == (PartitionSpec(expected), PartitionSpec())
