"""Programs exported for batches and maps of any size."""

import functools
import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import carafe_jax
from carafe_jax.nn import Masked, PartialCARAFE

SCALES = ["2", "1/2", "3/2", "1/3", "2/3", "4"]
SIZES = [(2, 5, 7), (1, 8, 1)]
slow_but_some = [
    pytest.param(x, marks=[] if x in ("1/2", "3/2") else pytest.mark.slow)
    for x in SCALES
]


def anchors(size, scale):
    return (size - 1) // Fraction(scale).denominator + 1


def pixels(size, scale):
    up, down = Fraction(scale).numerator, Fraction(scale).denominator
    return (size * up - 1) // down + 1


def draw(shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def exported(run, *shapes, platforms=("cpu",)):
    """Export a program for shapes that may be symbolic, and deserialize it."""
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    program = export.export(jax.jit(run), platforms=platforms)(*arrays)
    return export.deserialize(program.serialize())


def assert_close(actual, expected):
    # Float32 sums of some hundred products of about 1, in blocks of another size.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-4),
        actual,
        expected,
    )


def check_sizes(run, shapes_of, sizes=SIZES, **options):
    """Export for symbolic sizes; compare with the direct call at several sizes."""
    program = exported(run, *shapes_of(*export.symbolic_shape("n, h, w")), **options)
    for size in sizes:
        arrays = [draw(shape) for shape in shapes_of(*size)]
        assert_close(program.call(*arrays), jax.jit(run)(*arrays))


def by_pixel(scale, **options):
    run = functools.partial(carafe_jax.reassemble, scale=scale, **options)
    return run, lambda n, h, w: (
        (n, h, w, 4),
        (n, pixels(h, scale), pixels(w, scale), 2, 9),
    )


def by_logits(scale):
    run = functools.partial(
        carafe_jax.ops.reassemble_logits, scale=scale, kernel_size=3
    )
    channels = Fraction(scale).numerator ** 2 * 9
    return run, lambda n, h, w: (
        (n, h, w, 4),
        (n, anchors(h, scale), anchors(w, scale), channels),
    )


def with_gradients(run):
    def derive(*operands):
        out, pull_back = jax.vjp(run, *operands)
        return out, pull_back(jnp.sin(out))

    return derive


@pytest.mark.parametrize("scale", slow_but_some)
@pytest.mark.parametrize("make", [by_pixel, by_logits])
def test_exported_program_agrees_with_the_operator_at_any_size(make, scale):
    check_sizes(*make(scale))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "scale"),
    [(by_pixel, "2/3"), (by_pixel, "1/3"), (by_logits, "2"), (by_logits, "1/2")],
)
def test_exported_gradients_agree_with_the_operator_at_any_size(make, scale):
    run, shapes_of = make(scale)
    check_sizes(with_gradients(run), shapes_of)


@pytest.mark.parametrize("scale", ["2", "1/2"])
def test_exported_program_agrees_with_the_operator_at_any_batch(scale):
    run, shapes_of = by_pixel(scale)
    (n,) = export.symbolic_shape("n")
    program = exported(run, *shapes_of(n, 6, 6))
    for batch in (1, 3):
        arrays = [draw(shape) for shape in shapes_of(batch, 6, 6)]
        assert_close(program.call(*arrays), run(*arrays))


@pytest.mark.parametrize("scale", slow_but_some)
def test_exported_layer_accepts_maps_of_any_size(scale):
    layer = carafe_jax.CARAFE(
        scale=scale, kernel_size=3, compressed_channels=4, groups=2
    )
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 4)))
    run = functools.partial(layer.apply, variables)
    check_sizes(run, lambda n, h, w: ((n, h, w, 4),))


@pytest.mark.parametrize("scale", ["1/2", pytest.param("3/2", marks=pytest.mark.slow)])
def test_exported_partial_layer_accepts_maps_of_any_size(scale):
    layer = PartialCARAFE(
        functools.partial(
            carafe_jax.CARAFE, scale=scale, kernel_size=3, compressed_channels=4
        )
    )
    zeros = Masked(jnp.zeros((1, 4, 4, 4)), jnp.zeros((1, 4, 4, 1)))
    variables = layer.init(jax.random.key(0), zeros)

    def run(features, valid):
        return tuple(layer.apply(variables, Masked(features, valid)))

    check_sizes(run, lambda n, h, w: ((n, h, w, 4), (n, h, w, 1)))


@pytest.mark.parametrize("sizes", ["n, 6, 6", "2, h, 6", "2, 6, w"])
def test_accelerators_run_plain_jax_where_a_size_is_any(sizes):
    run, shapes_of = by_pixel("1/2")
    shapes = shapes_of(*export.symbolic_shape(sizes))
    text = exported(run, *shapes, platforms=("tpu", "cuda")).mlir_module()
    assert set(re.findall(r"custom_call @([\w.$]+)", text)) <= {"shape_assertion"}


@pytest.mark.parametrize("sizes", ["n, 6, 6", "2, h, 6", "2, 6, w"])
def test_kernel_that_is_selected_refuses_any_size(sizes):
    run, shapes_of = by_pixel("2", implementation="mosaic_tpu")
    n, h, w = sizes.split(", ")
    message = f"batch and maps must be of known sizes, got {n} maps of {h} x {w} pixels"
    with pytest.raises(NotImplementedError, match=message):
        exported(run, *shapes_of(*export.symbolic_shape(sizes)), platforms=("tpu",))


def test_kernels_of_another_size_than_the_map_are_refused():
    n, h, w = export.symbolic_shape("n, h, w")
    run, _ = by_pixel("2")
    message = r"`kernels` must have shape .* = \(n, 2\*h, 2\*w\) .* got \(n, h, w, 1, 9"
    with pytest.raises(ValueError, match=message):
        exported(run, (n, h, w, 4), (n, h, w, 1, 9))
