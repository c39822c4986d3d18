"""Modulated deformable convolution against mmcv's numbers, a loop and lax."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax.errors import RefusedError
from carafe_jax.ops import modulated_deformable_conv
from tests.nn.torch_goldens import load, nhwc, value_and_gradients
from tests.ops.sampling_loops import conv_size, deformable_conv_loop

GOLDENS = {
    "dcnv2_basic": {},
    "dcnv2_s2_dg2": {"stride": 2, "deform_groups": 2},
}
DEFAULT = {"stride": 1, "padding": 1, "dilation": 1, "deform_groups": 1}
# Each with the window, the groups of the convolution and the size of the map.
CASES = {
    "plain": (DEFAULT, (3, 3), 1, (5, 4)),
    "strided, odd, two deform groups": (
        DEFAULT | {"stride": 2, "deform_groups": 2},
        (3, 3),
        1,
        (5, 7),
    ),
    "dilated, two groups": (DEFAULT | {"padding": 2, "dilation": 2}, (3, 3), 2, (4, 3)),
    "oblong, all groups": (
        DEFAULT | {"padding": 0, "stride": 3, "deform_groups": 4},
        (1, 2),
        4,
        (4, 5),
    ),
    "one pixel": (DEFAULT, (3, 3), 1, (1, 1)),
    "1x1": (DEFAULT | {"padding": 0}, (1, 1), 1, (3, 2)),
}


# A loop over taps that runs op by op takes seconds to dispatch.
@functools.partial(jax.jit, static_argnames=tuple(DEFAULT))
def conv(features, weights, offsets, modulation, **settings):
    return modulated_deformable_conv(
        features, weights, offsets=offsets, modulation=modulation, **settings
    )


def drawn(settings, window, groups, size, *, examples=2, channels=4):
    """Arguments of a case; positions are away from whole ones."""
    rng = np.random.default_rng(0)
    of_conv = {name: settings[name] for name in ("stride", "padding", "dilation")}
    out = conv_size(size, window, **of_conv)
    places = settings["deform_groups"] * window[0] * window[1]
    offsets = rng.integers(-2, 3, size=(examples, *out, 2 * places))
    return (
        rng.normal(size=(examples, *size, channels)),
        rng.normal(size=(*window, channels // groups, 4)),
        offsets + rng.uniform(0.2, 0.8, size=offsets.shape),
        rng.uniform(0.1, 1, size=(examples, *out, places)),
    )


@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        *((name, "float64", 1e-9) for name in GOLDENS),
        # Ten times what mmcv itself differs from float64.
        ("dcnv2_s2_dg2", "float32", 7e-6),
    ],
)
def test_output_and_gradients_are_those_of_mmcv(name, dtype, tolerance):
    golden = load(name)

    def kernel(prefix):
        return golden[f"{prefix}/weight"].transpose(2, 3, 1, 0)

    def arrays(prefix):
        features, *rest = (nhwc(golden[f"{prefix}/{i}"]) for i in range(3))
        return features, *rest

    with jax.enable_x64(dtype == "float64"):
        features, *displaced = (jnp.asarray(x, dtype) for x in arrays("input"))
        weights = jnp.asarray(kernel("state_dict"), dtype)
        out, gradients = value_and_gradients(
            functools.partial(conv, **GOLDENS[name]),
            nhwc(golden["R/0"]),
            features,
            weights,
            *displaced,
        )
    bias = golden["state_dict/bias"] if "state_dict/bias" in golden.files else 0
    grad_features, *rest = arrays("ref64_grad_input")
    expected = (grad_features, kernel("ref64_grad_param"), *rest)
    compared = [
        (np.float64(out) + bias, nhwc(golden["ref64_output/0"])),
        *zip(gradients, expected, strict=True),
    ]
    for ours, reference in compared:
        # Relative to the largest value: sums cancel.
        atol = tolerance * np.max(np.abs(reference))
        np.testing.assert_allclose(np.float64(ours), reference, rtol=0, atol=atol)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_output_is_that_of_a_loop(case):
    arguments, settings = drawn(*case), case[0]
    expected = deformable_conv_loop(*arguments, **settings)
    with jax.enable_x64(True):
        np.testing.assert_allclose(conv(*arguments, **settings), expected, atol=1e-12)


def test_gradients_match_differences():
    case = CASES["dilated, two groups"]  # The others' are compared with mmcv's.
    with jax.enable_x64(True):
        function = functools.partial(conv, **case[0])
        check_grads(function, drawn(*case), order=1, modes=("rev",))


def test_without_offsets_it_is_the_convolution():
    stride, dilation, groups = 2, 2, 2
    settings = DEFAULT | {"stride": stride, "dilation": dilation}
    features, weights, offsets, modulation = map(
        jnp.float32, drawn(settings, (3, 3), groups, (7, 6))
    )
    out = conv(features, weights, 0 * offsets, 0 * modulation + 1, **settings)
    expected = jax.lax.conv_general_dilated(
        features,
        weights,
        (stride, stride),
        ((1, 1), (1, 1)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    # Float32 rounds sums of up to 36 products of about 1.
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_whole_offsets_move_the_map():
    features, weights, offsets, modulation = map(
        jnp.float32, drawn(DEFAULT, (3, 3), 1, (6, 7))
    )
    run = functools.partial(conv, weights=weights, modulation=0 * modulation + 1)
    moved = jnp.zeros_like(features).at[:, :-1, 2:].set(features[:, 1:, :-2])
    shift = jnp.tile(jnp.array([1.0, -2.0]), (2, 6, 7, 9))
    out = run(features, offsets=shift)[:, 1:-2, 3:-1]
    expected = run(moved, offsets=0 * offsets)[:, 1:-2, 3:-1]
    # The moved map lacks what left it, beside the borders that are cut off here.
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_bfloat16_is_near_float32_and_stays_bfloat16():
    arguments = [jnp.asarray(x, jnp.bfloat16) for x in drawn(*CASES["plain"])]
    out = conv(*arguments)
    expected = conv(*(x.astype(jnp.float32) for x in arguments))
    assert out.dtype == jnp.bfloat16
    # Sums of 36 products of about 1, of factors rounded to 8 bits.
    np.testing.assert_allclose(out.astype(jnp.float32), expected, atol=0.1)


def test_empty_batch_gives_an_empty_batch():
    features, weights, *rest = map(jnp.float32, drawn(*CASES["plain"], examples=0))
    value, gradients = jax.value_and_grad(
        lambda *x: conv(*x).sum(), argnums=(0, 1, 2, 3)
    )(features, weights, *rest)
    assert value == 0
    np.testing.assert_array_equal(gradients[1], jnp.zeros_like(weights))


def test_vmap_is_the_same_as_a_loop():
    arguments = [np.stack([x, x / 2]) for x in map(np.float32, drawn(*CASES["plain"]))]
    out = jax.vmap(conv)(*arguments)
    for index in range(2):
        expected = conv(*(x[index] for x in arguments))
        np.testing.assert_allclose(out[index], expected, atol=1e-5)


def test_shard_map_over_examples_changes_nothing():
    devices = jax.devices()
    mesh = jax.make_mesh(
        (len(devices),), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    drawn_for_mesh = drawn(*CASES["plain"], examples=len(devices))
    features, weights, *rest = map(jnp.float32, drawn_for_mesh)
    split, whole = jax.P("data"), jax.P()
    sharded = jax.shard_map(
        conv, mesh=mesh, in_specs=(split, whole, split, split), out_specs=split
    )
    np.testing.assert_allclose(
        jax.jit(sharded)(features, weights, *rest),
        conv(features, weights, *rest),
        atol=1e-5,
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_window():
    def temporaries(kernel_size):
        settings = DEFAULT | {"padding": kernel_size // 2}
        arguments = drawn(settings, (kernel_size,) * 2, 1, (40, 48), channels=32)
        run = functools.partial(conv, **settings)
        gradient = jax.grad(lambda *x: run(*x).sum(), argnums=(0, 1, 2, 3))
        shapes = [jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in arguments]
        compiled = [jax.jit(f).lower(*shapes).compile() for f in (run, gradient)]
        analyses: Any = [program.memory_analysis() for program in compiled]
        sizes = [analysis.temp_size_in_bytes for analysis in analyses]
        of_arguments = sum(4 * x.size for x in arguments)
        return sizes, of_arguments, 4 * arguments[0].size

    (forward, backward), arguments, samples = temporaries(3)
    # All taps at once would take 9 times the samples of one, with their corners 36.
    assert forward < 9 * samples
    assert backward < 30 * samples
    (wide_forward, wide_backward), wide_arguments, _ = temporaries(5)
    # Copies of the arguments by taps, and of their gradients.
    allowed = 4 * (wide_arguments - arguments)
    assert wide_forward - forward < allowed
    assert wide_backward - backward < allowed


ZEROS = {
    "features": np.zeros((1, 5, 4, 4)),
    "weights": np.zeros((3, 3, 4, 2)),
    "offsets": np.zeros((1, 5, 4, 18)),
    "modulation": np.zeros((1, 5, 4, 9)),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros((5, 4, 4))}, "`features` must have rank 4"),
        ({"features": np.zeros((1, 5, 4, 4), int)}, "`features` must be of a floating"),
        ({"weights": np.zeros((3, 3, 3, 2))}, "`weights` must have a number of inputs"),
        ({"weights": np.zeros((3, 3, 1, 2))}, "`weights` must have a number of inputs"),
        ({"weights": np.zeros((3, 0, 4, 2))}, "must have no empty axis"),
        ({"weights": np.zeros((9, 9, 4, 2))}, "`weights` must have windows that fit"),
        (
            {"offsets": np.zeros((1, 5, 4, 9))},
            r"`offsets` must have shape \(1, 5, 4, 1",
        ),
        ({"modulation": np.zeros((1, 5, 5, 9))}, "`modulation` must have shape"),
        ({"stride": 0}, "`stride` must be a positive int, got 0"),
        ({"padding": -1}, "`padding` must be an int of at least 0, got -1"),
        ({"dilation": 1.0}, r"`dilation` must be a positive int, got 1\.0"),
        ({"deform_groups": 3}, "`deform_groups` must divide the 4 channels"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(RefusedError, match=message):
        modulated_deformable_conv(**(ZEROS | changes))
