"""The operator under JAX's transformations, and its derivatives of higher order."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax import CARAFE, reassemble
from carafe_jax.ops import interpret_kernels
from tests.ops.reassembly import oracle
from tests.ops.reassembly.cases import Case, value_and_gradients

SCALES = [2, "1/2", "3/2"]


def small_case(scale):
    return Case(scale=scale, kernel_size=3, groups=2, shape=(1, 3, 4, 4))


def draw(scale, copies=None):
    """Draw float32 arguments of a small case, with a leading axis if `copies` > 0."""
    case = small_case(scale)
    arrays = [case.draw(np.float32, np.float32) for _ in range(copies or 1)]
    arrays = [[x * (index + 1) for x in entry] for index, entry in enumerate(arrays)]
    stacked = [np.stack(column) for column in zip(*arrays, strict=True)]
    return stacked if copies else [x[0] for x in stacked]


def gradients(scale):
    def run(features, kernels, cotangent):
        _, pullback = jax.vjp(
            lambda x, y: reassemble(x, y, scale=scale), features, kernels
        )
        return pullback(cotangent)

    return run


@pytest.mark.parametrize("scale", SCALES)
def test_empty_batch_gives_empty_results(scale):
    case = Case(scale=scale, kernel_size=3, groups=2, shape=(0, 3, 5, 4))
    out, *gradients = value_and_gradients(
        *case.draw(np.float32, np.float32), scale=scale
    )
    assert out.shape == case.output_shape
    assert [x.shape for x in gradients] == [case.shape, case.kernels_shape]


@pytest.mark.parametrize("implementation", [None, "xla", "triton"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("sizes", [(0,), (0, 2), (2, 0)])
def test_vmap_over_an_empty_axis_is_empty(sizes, scale, implementation):
    case = small_case(scale)

    def run(features, kernels, cotangent):
        out, pullback = jax.vjp(
            lambda x, y: reassemble(x, y, scale=scale, implementation=implementation),
            features,
            kernels,
        )
        return out, *pullback(cotangent)

    for _ in sizes:
        run = jax.vmap(run)
    shapes = case.output_shape, case.shape, case.kernels_shape
    operands = [
        jax.ShapeDtypeStruct((*sizes, *shape), jnp.float32)
        for shape in (case.shape, case.kernels_shape, case.output_shape)
    ]
    with interpret_kernels():
        results = jax.eval_shape(run, *operands)
    assert [x.shape for x in results] == [(*sizes, *shape) for shape in shapes]


def test_vmap_of_a_layer_over_an_empty_axis_is_empty():
    layer = CARAFE(kernel_size=3, compressed_channels=4)
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 2, 3, 4)))

    def total(variables, features):
        out: Any = layer.apply(variables, features)
        return jnp.sum(out)

    gradients = jax.vmap(jax.grad(total, (0, 1)), in_axes=(None, 0))
    found, of_features = jax.jit(gradients)(variables, jnp.zeros((0, 1, 2, 3, 4)))
    assert of_features.shape == (0, 1, 2, 3, 4)
    chex.assert_trees_all_equal_shapes(
        found, jax.tree.map(lambda x: jnp.zeros((0, *x.shape)), variables)
    )


@pytest.mark.parametrize(
    ("scale", "in_axes"),
    [
        (2, (0, 0)),
        (2, (0, None)),
        (2, (None, 0)),
        (2, (1, -1)),
        ("1/2", (0, 0)),
        ("3/2", (0, None)),
    ],
)
def test_vmap_is_a_loop(scale, in_axes):
    arrays = draw(scale, copies=3)[:2]
    expected = np.stack(
        [
            oracle.reassemble(
                *(
                    x[0 if axis is None else i]
                    for x, axis in zip(arrays, in_axes, strict=True)
                ),
                scale=scale,
            )
            for i in range(3)
        ]
    )
    moved = [
        x[0] if axis is None else np.moveaxis(x, 0, axis)
        for x, axis in zip(arrays, in_axes, strict=True)
    ]
    call = jax.vmap(lambda x, y: reassemble(x, y, scale=scale), in_axes=in_axes)
    # Float32 sums of nine products of up to 50.
    chex.assert_trees_all_close(np.float64(jax.jit(call)(*moved)), expected, atol=1e-4)


@pytest.mark.parametrize("in_axes", [(0, 0, 0), (0, None, 0), (None, 0, 0)])
def test_vmap_of_the_gradients_is_a_loop(in_axes):
    arrays = [
        x if axis == 0 else x[0]
        for x, axis in zip(draw(2, copies=3), in_axes, strict=True)
    ]
    each = [
        oracle.gradients(
            *(
                x[i] if axis == 0 else x
                for x, axis in zip(arrays, in_axes, strict=True)
            ),
            scale=2,
        )
        for i in range(3)
    ]
    results = jax.jit(jax.vmap(gradients(2), in_axes=in_axes))(*arrays)
    for result, reference in zip(results, zip(*each, strict=True), strict=True):
        # Float32 sums of up to 36 products of up to 50.
        np.testing.assert_allclose(result, np.stack(reference), rtol=1e-5, atol=1e-3)


def test_gradient_of_an_argument_shared_under_vmap_is_summed_over_the_copies():
    features, kernels, cotangent = draw(2, copies=3)

    def total(shared):
        out = jax.vmap(reassemble, in_axes=(0, None))(jnp.asarray(features), shared)
        return jnp.sum(out * cotangent)

    each = [
        oracle.gradients(x, kernels[0], g, scale=2)[1]
        for x, g in zip(features, cotangent, strict=True)
    ]
    # Float32 sums of six products of up to 50.
    np.testing.assert_allclose(
        jax.jit(jax.grad(total))(kernels[0]), sum(each), rtol=1e-5, atol=1e-3
    )


def test_jit_returns_what_the_uncompiled_call_returns():
    features, kernels, _ = draw("1/2")
    compiled = jax.jit(reassemble, static_argnames="scale")
    # Fused multiply-adds round less often.
    chex.assert_trees_all_close(
        compiled(features, kernels, scale="1/2"),
        reassemble(features, kernels, scale="1/2"),
        atol=1e-5,
    )


def test_rematerialisation_changes_no_gradient():
    features, kernels, cotangent = draw(2)

    @jax.checkpoint
    def twice(features, kernels):
        return reassemble(jnp.sin(features), jnp.cos(kernels))

    def total(function):
        return jax.jit(
            jax.grad(lambda x, y: jnp.sum(function(x, y) * cotangent), argnums=(0, 1))
        )

    plain = total(lambda x, y: reassemble(jnp.sin(x), jnp.cos(y)))
    # Float32 sums of up to 36 products of about 1.
    chex.assert_trees_all_close(
        total(twice)(features, kernels), plain(features, kernels), atol=1e-5
    )


def test_scan_is_a_loop_forward_and_backward():
    features, kernels, _ = draw(1, copies=3)

    def scanned(features, kernels):
        out, _ = jax.lax.scan(
            lambda x, y: (reassemble(x, y, scale=1), None), features, kernels
        )
        return jnp.sum(out**2)

    def looped(features, kernels):
        for kernel in kernels:
            features = reassemble(features, kernel, scale=1)
        return jnp.sum(features**2)

    results, expected = (
        jax.jit(jax.value_and_grad(function, argnums=(0, 1)))(features[0], kernels)
        for function in (scanned, looped)
    )
    # Three chained sums in float32, of results up to 1e6.
    chex.assert_trees_all_close(results, expected, rtol=1e-4, atol=1)


@pytest.mark.parametrize(("scale", "kernel_size"), [(2, 3), ("1/2", 3), ("3/2", 1)])
def test_second_derivatives_match_finite_differences(scale, kernel_size):
    case = Case(scale, kernel_size, groups=1, shape=(1, 2, 3, 2))
    with jax.enable_x64(True):
        features, kernels, _ = case.draw(np.float64, np.float64)
        run = jax.jit(lambda x, y: reassemble(x, y, scale=scale))
        check_grads(run, (features, kernels), order=2, modes=("rev",))


@pytest.mark.parametrize("scale", SCALES)
def test_second_derivatives_keep_the_dtype_of_each_argument(scale):
    case = small_case(scale)
    features, kernels, _ = case.draw(jnp.bfloat16, np.float32)

    def penalty(features, kernels):
        def total(features):
            return jnp.sum(reassemble(features, kernels, scale=scale) ** 2)

        return jnp.sum(jax.grad(total)(features) ** 2)

    shapes = jax.eval_shape(jax.grad(penalty, argnums=(0, 1)), features, kernels)
    assert [x.dtype for x in shapes] == [jnp.bfloat16, jnp.float32]


@pytest.mark.parametrize("scale", SCALES)
def test_gradient_penalty_has_the_gradient_of_the_same_sum_of_plain_gathers(scale):
    # Of the squared gradient of the features: what the original leaves out.
    case = small_case(scale)
    rows, columns, inside = plain_indices(case)

    def plain(features, kernels):
        n, oh, ow, g, taps = kernels.shape
        windows = features[:, rows[:, None, :, None], columns[None, :, None, :]]
        windows = windows * inside[None, ..., None]
        windows = windows.reshape(n, oh, ow, taps, g, -1)
        return jnp.einsum("nijtgc,nijgt->nijgc", windows, kernels).reshape(
            n, oh, ow, -1
        )

    def penalty(function):
        def total(features, kernels):
            return jnp.sum(jnp.sin(function(features, kernels)))

        def squares(features, kernels):
            return sum(
                jnp.sum(x**2)
                for x in jax.grad(total, argnums=(0, 1))(features, kernels)
            )

        return jax.jit(jax.grad(squares, argnums=(0, 1)))

    with jax.enable_x64(True):
        features, kernels, _ = case.draw(np.float64, np.float64)
        own = penalty(lambda x, y: reassemble(x, y, scale=scale))(features, kernels)
        expected = penalty(plain)(features, kernels)
        # Float64 sums of some hundred products of up to 100.
        chex.assert_trees_all_close(own, expected, rtol=1e-10, atol=1e-10)


def plain_indices(case):
    """Return rows, columns and whether they are inside the map, of each window."""
    radius = case.kernel_size // 2
    found = []
    for size, out in zip(case.shape[1:3], case.output_shape[1:3], strict=True):
        sources = np.array([oracle.source_pixel(i, case.scale) for i in range(out)])
        taps = sources[:, None] + np.arange(-radius, radius + 1)
        found.append((np.clip(taps, 0, size - 1), (taps >= 0) & (taps < size)))
    (rows, y), (columns, x) = found
    return rows, columns, y[:, None, :, None] & x[None, :, None, :]


def test_forward_mode_is_refused():
    features, kernels, _ = draw(2)
    with pytest.raises(TypeError, match=r"forward-mode autodiff .* custom_vjp"):
        jax.jvp(lambda x: reassemble(x, kernels), (features,), (features,))
