"""Errors of the operator for invalid arguments."""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import reassemble
from carafe_jax.ops import parse_scale, reassemble_logits

FEATURES, KERNELS = np.ones((1, 2, 3, 4), np.float32), np.ones((1, 4, 6, 2, 9))


def call_logits(**options: Any):
    logits = np.ones((1, 2, 3, 4 * 9), np.float32)
    options = {"kernel_size": 3, "logits": logits} | options
    return jax.eval_shape(
        lambda: reassemble_logits(FEATURES, options.pop("logits"), **options)
    )


def call(features: Any = FEATURES, kernels: Any = KERNELS, **options: Any):
    return jax.eval_shape(lambda: reassemble(features, kernels, **options))


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 2, 3, 4), ()])
def test_features_of_another_rank_are_refused(shape):
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*got shape \("):
        call(features=np.ones(shape))


@pytest.mark.parametrize("shape", [(1, 4, 6, 9), (1, 1, 4, 6, 2, 9)])
def test_kernels_of_another_rank_are_refused(shape):
    with pytest.raises(ValueError, match=r"`kernels` must have rank 5.*got shape \("):
        call(kernels=np.ones(shape))


@pytest.mark.parametrize("name", ["features", "kernels"])
@pytest.mark.parametrize(
    "dtype", [jnp.int32, jnp.uint8, jnp.bool_, jnp.complex64, jnp.float8_e4m3fn]
)
def test_dtype_that_is_not_floating_is_refused(name, dtype):
    shape = {"features": FEATURES, "kernels": KERNELS}[name].shape
    message = f"`{name}` must be of a floating dtype.*got {jnp.dtype(dtype)}"
    with pytest.raises(ValueError, match=message):
        call(**{name: jnp.ones(shape, dtype)})


@pytest.mark.parametrize("taps", [0, 2, 4, 8, 16, 36])
def test_taps_that_are_no_odd_square_are_refused(taps):
    with pytest.raises(
        ValueError, match=rf"`kernels` must have k\*k taps.*got {taps} "
    ):
        call(kernels=np.ones((1, 4, 6, 1, taps)))


@pytest.mark.parametrize("groups", [0, 3, 8])
def test_groups_that_do_not_divide_the_channels_are_refused(groups):
    message = f"`kernels` must have a number of groups .* 4 channels.*got {groups} "
    with pytest.raises(ValueError, match=message):
        call(kernels=np.ones((1, 4, 6, groups, 9)))


@pytest.mark.parametrize("shape", [(1, 0, 3, 4), (1, 2, 0, 4)])
def test_map_without_pixels_is_refused(shape):
    n, h, w, _ = shape
    with pytest.raises(ValueError, match=r"`features` must have at least one pixel.*0"):
        call(features=np.ones(shape), kernels=np.ones((n, 2 * h, 2 * w, 1, 9)))


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((2, 4, 6, 2, 9), 2),
        ((1, 5, 6, 2, 9), 2),
        ((1, 4, 5, 2, 9), 2),
        ((1, 2, 3, 2, 9), 2),
        ((1, 4, 6, 2, 9), 1),
        ((1, 1, 1, 2, 9), "1/2"),
        ((1, 3, 4, 2, 9), "3/2"),
    ],
)
def test_kernels_of_another_size_are_refused_and_the_size_is_named(shape, scale):
    h, w = ({2: (4, 6), 1: (2, 3), "1/2": (1, 2), "3/2": (3, 5)})[scale]
    message = rf"`kernels` must have shape.*\(1, {h}, {w}\).*scale {scale}.*got \("
    with pytest.raises(ValueError, match=message):
        call(kernels=np.ones(shape), scale=scale)


@pytest.mark.parametrize("name", ["cuda", "XLA", "", 1, ["xla"]])
def test_unknown_implementation_is_refused(name):
    with pytest.raises(
        ValueError, match="`implementation` must be None or one of 'xla'"
    ):
        call(implementation=name)


@pytest.mark.parametrize("name", ["mosaic_tpu", "mosaic_gpu", "triton"])
def test_implementation_that_cannot_run_raises_with_the_reason(name):
    message = (
        f"`implementation='{name}'` cannot run: `features` must be of at most 32 bits, "
        "got float64"
    )
    with jax.enable_x64(True), pytest.raises(NotImplementedError, match=message):
        call(features=np.float64(FEATURES), implementation=name)


@pytest.mark.parametrize("scale", [2.0, 0.5, float("nan"), np.float64(2), np.half(1)])
def test_float_scale_is_refused_and_fraction_is_named(scale):
    with pytest.raises(ValueError, match=r"`scale` must be.*Fraction.*the float"):
        call(scale=scale)


@pytest.mark.parametrize(
    "scale",
    [
        *(True, np.True_, None, (1, 2), b"2", 2j, np.array(2), np.str_("x")),
        *("two", "", ".", "1e1", "1.5/2", "1 5", "1/0", "0/00", "-1/2", "1/2/3"),
    ],
    ids=repr,
)
def test_scale_of_another_kind_is_refused(scale):
    with pytest.raises(
        ValueError, match=r"`scale` must be an int, a fractions.Fraction"
    ):
        call(scale=scale)


@pytest.mark.parametrize(
    "scale", [0, -1, np.int8(-1), Fraction(-1, 2), Fraction(0), "0", "0/3", "0.0"]
)
def test_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=f"`scale` must be positive, got {scale}"):
        call(scale=scale)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (2, Fraction(2)),
        (Fraction(2, 4), Fraction(1, 2)),
        ("3", Fraction(3)),
        ("6/4", Fraction(3, 2)),
        (np.int64(2), Fraction(2)),
        (np.uint8(3), Fraction(3)),
        ("1.5", Fraction(3, 2)),
        ("0.5", Fraction(1, 2)),
        (" .25 ", Fraction(1, 4)),
        ("2.", Fraction(2)),
        (" 3 / 02 ", Fraction(3, 2)),
        ("1\t/ 2\n", Fraction(1, 2)),
    ],
)
def test_scale_is_reduced_to_lowest_terms(scale, expected):
    assert parse_scale(scale) == expected


def test_arguments_after_the_arrays_are_named():
    with pytest.raises(TypeError, match="positional"):
        reassemble(FEATURES, KERNELS, 2)  # pyright: ignore[reportCallIssue]


def test_scale_is_two_unless_given():
    assert call().shape == (1, 4, 6, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 2}, "`kernel_size` must be odd, got 2"),
        ({"kernel_size": 0}, "`kernel_size` must be a positive int, got 0"),
        ({"groups": 0}, "`groups` must be a positive int, got 0"),
        ({"groups": 3}, "`groups` must divide the 4 channels of `features`, got 3"),
        ({"normalizer": "max"}, "`normalizer` must be one of 'softmax', .* got 'max'"),
        ({"scale": 3}, r"`logits` must have shape .* \(1, 2, 3, 81\).*got \(1, 2"),
        ({"kernel_size": 5}, r"`logits` must have shape .* = \(1, 2, 3, 100\)"),
        ({"logits": np.ones((2, 3, 36))}, r"`logits` must have rank 4, \(N, AH, AW"),
    ],
)
def test_logits_that_break_a_rule_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        call_logits(**options)
