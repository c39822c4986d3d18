"""Launches on a TPU: missing phases, bounds of logits, precision, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas import mosaic_tpu
from carafe_pallas.call import Call
from carafe_pallas.mosaic_tpu.bands import Bands
from carafe_pallas.mosaic_tpu.tables import OUTSIDE, tables

from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase, expected, normalize

ODD = LaunchCase(
    Case(scale="3/2", kernel_size=3, groups=1, shape=(1, 3, 5, 2)),
    normalizer="softmax",
)


def options(case):
    return {
        "geometry": case.geometry,
        "normalizer": case.normalizer,
        "interpret": True,
    }


def missing(case):
    """Return a mask of the kernels of phases that are outside of the map."""
    geometry = case.geometry
    up, taps = geometry.rows.up, geometry.groups * geometry.kernel_size**2
    _, ah, aw, channels = case.kernels_shape
    lane = np.arange(channels) // taps
    y = np.arange(ah)[:, None, None] * up + lane // up
    x = np.arange(aw)[None, :, None] * up + lane % up
    gone = (y >= geometry.rows.output_size) | (x >= geometry.columns.output_size)
    assert gone.any()
    return gone[None]


@pytest.mark.slow
def test_kernels_of_missing_phases_have_no_effect():
    features, kernels, cotangent = map(jnp.asarray, ODD.draw())
    gone = missing(ODD)
    dirty = jnp.where(gone, jnp.nan, kernels)
    given = options(ODD)
    run = functools.partial(mosaic_tpu.reassemble, features, dtype="float32", **given)
    np.testing.assert_array_equal(run(dirty), run(kernels))
    run = functools.partial(mosaic_tpu.grad_features, dtype="float32", **given)
    np.testing.assert_array_equal(run(dirty, cotangent), run(kernels, cotangent))
    run = functools.partial(mosaic_tpu.grad_kernels, dtype="float32", **given)
    got = np.asarray(run(features, cotangent, dirty))
    np.testing.assert_array_equal(got, run(features, cotangent, kernels))
    assert (got[gone] == 0).all()


def test_phases_with_logits_far_apart_are_normalised_separately():
    case = LaunchCase(
        Case(scale=2, kernel_size=3, groups=1, shape=(1, 2, 3, 2)),
        normalizer="softmax",
    )
    features, logits, _ = map(jnp.asarray, case.draw())
    kernels = jnp.asarray(normalize(logits, case), jnp.float32)
    # A constant per phase changes no kernel. With one bound for all phases, the
    # exponentials of three of the four phases would be zero.
    logits = logits + np.float32(300 * (np.arange(36) // 9))
    plain = LaunchCase(case.case)
    run = functools.partial(mosaic_tpu.reassemble, features, dtype="float32")
    # Float32 rounds logits of 900 to 3e-5, and the exponentials as much.
    np.testing.assert_allclose(
        run(logits, **options(case)), run(kernels, **options(plain)), atol=3e-4
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_float32_products_have_the_highest_precision(dtype):
    case = LaunchCase(
        Case(scale=2, kernel_size=5, groups=1, shape=(1, 4, 20, 128)), dtype, dtype
    )
    features, kernels, cotangent = case.draw()
    given = {**options(case), "dtype": dtype, "interpret": False}
    reassemble = functools.partial(mosaic_tpu.reassemble, **given)
    grad_features = functools.partial(mosaic_tpu.grad_features, **given)
    grad_kernels = functools.partial(mosaic_tpu.grad_kernels, logits=None, **given)
    programs = (
        jax.make_jaxpr(reassemble)(features, kernels),
        jax.make_jaxpr(grad_features)(kernels, cotangent),
        jax.make_jaxpr(grad_kernels)(features, cotangent),
    )
    for program in programs:
        text = str(program)
        assert "dot_general" in text
        assert ("HIGHEST" in text) == (dtype == "float32")


@pytest.mark.parametrize("inside", [True, False])
def test_lane_tables_agree(inside):
    bands = Bands(ODD.geometry, 16, inside)
    lookup = tables(bands)
    for spread, collect in zip(lookup.spread, lookup.collect, strict=True):
        phase, anchor, pixel = np.nonzero(spread != OUTSIDE)
        lanes = spread[phase, anchor, pixel]
        back = collect[anchor, lanes]
        np.testing.assert_array_equal(back, phase * bands.pixels + pixel)
        assert (collect != OUTSIDE).sum() == lanes.size


def call(**changes):
    case = LaunchCase(Case(scale=2, kernel_size=5, groups=1, shape=(1, 4, 5, 128)))
    known = {field: getattr(case.call, field) for field in Call.__dataclass_fields__}
    return Call(**{**known, **changes})


def test_refusals_name_what_is_wrong():
    assert mosaic_tpu.refusal(call()) is None
    half = mosaic_tpu.refusal(call(features_dtype=jnp.dtype("float16")))
    assert half is not None
    assert "`features_dtype`" in half
    assert "float16" in half
    huge = mosaic_tpu.refusal(call(batch=2**22))
    assert huge is not None
    assert "2**31" in huge
    wide = mosaic_tpu.refusal(call(channels=1 << 18 | 1))
    assert wide is not None
    assert "VMEM" in wide


@pytest.mark.parametrize("rows", [2, 4, 8])
@pytest.mark.parametrize(
    ("scale", "kernel_size", "height"),
    [("1/3", 3, 24), ("1/4", 3, 31), ("1/2", 1, 16), ("2/3", 3, 24), (2, 5, 8)],
)
def test_gradient_of_features_leaves_in_blocks_of_any_size(
    scale, kernel_size, height, rows
):
    shape = (2, height, 7, 2)
    case = LaunchCase(Case(scale=scale, kernel_size=kernel_size, groups=1, shape=shape))
    _, kernels, cotangent = map(jnp.asarray, case.draw())
    config = mosaic_tpu.TuningConfig(rows=rows, strip=16, channels=2)
    run = functools.partial(mosaic_tpu.grad_features, config=config, **options(case))
    got = run(kernels, cotangent, dtype="float32")
    np.testing.assert_allclose(got, expected(case).grad_features, rtol=0, atol=1e-5)


def test_rows_that_would_leave_too_early_are_refused():
    case = LaunchCase(Case(scale=2, kernel_size=5, groups=1, shape=(1, 4, 3, 2)))
    _, kernels, cotangent = map(jnp.asarray, case.draw())
    config = mosaic_tpu.TuningConfig(rows=1, strip=16, channels=2)
    with pytest.raises(ValueError, match=r"`config\.rows` must be at least 2 .* got 1"):
        mosaic_tpu.grad_features(
            kernels, cotangent, dtype="float32", config=config, **options(case)
        )


def test_lines_that_would_lose_rows_are_refused():
    features, kernels, cotangent = map(jnp.asarray, ODD.draw())
    uneven = mosaic_tpu.TuningConfig(rows=3, strip=16, channels=2, lines=2)
    with pytest.raises(ValueError, match=r"must divide `config\.rows`, got 2 and 3"):
        mosaic_tpu.grad_features(
            kernels, cotangent, dtype="float32", config=uneven, **options(ODD)
        )
    even = mosaic_tpu.TuningConfig(rows=4, strip=16, channels=2, lines=2)
    with pytest.raises(ValueError, match="must be 1 for 'reassemble', got 2"):
        mosaic_tpu.reassemble(
            features, kernels, dtype="float32", config=even, **options(ODD)
        )
