"""Feature pyramids, against mmdetection's numbers and by hand."""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import nn
from carafe_jax.errors import RefusedError
from carafe_jax.models import FPN, Stages
from tests.models.detection import part_goldens
from tests.models.detection.part_goldens import arrays

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"
CARAFE = functools.partial(nn.CARAFEUpsample, compressed_channels=8)
CASES = {
    "fpn_bilinear": {"upsample": nn.BilinearUpsample},
    "fpn_carafe_bn_act": {"upsample": CARAFE, "norm": nn.BatchNorm},
    "fpn_carafe_odd_slice": {"upsample": CARAFE},
    "fpn_deconv": {"upsample": nn.DeconvUpsample},
    "models/fpn_nearest_even": {},
    "models/fpn_nearest_odd": {"upsample": nn.NearestUpsample},
    "models/fpn_variant_pixel_shuffle": {"upsample": nn.PixelShuffleUpsample},
}
SMALL = Stages(
    *(jnp.ones((2, *size, 3)) for size in [(17, 18), (9, 9), (5, 5), (3, 3)])
)


def load(name):
    with np.load(GOLDENS / f"{name}.npz") as stored:
        return dict(stored)


def check(name, *, dtype, tolerance):
    golden = load(name)
    maps = tuple(arrays(golden, "input"))
    laterals = [x for x in golden if x.startswith("state_dict/lateral_convs.")]
    kernels = sum(x.endswith("conv.weight") for x in laterals)
    return part_goldens.check(
        golden,
        FPN(
            golden["output/0"].shape[1],
            extra_level="lateral" if kernels > len(maps) else "pool",
            **CASES[name],
        ),
        functools.partial(part_goldens.of_neck, maps=len(maps)),
        maps,
        dtype=dtype,
        tolerance=tolerance,
    )


@pytest.mark.parametrize("name", CASES)
def test_levels_and_gradients_are_those_of_mmdetection(name):
    with jax.enable_x64(True):
        check(name, dtype=jnp.float64, tolerance=1e-9)


def test_levels_and_gradients_are_those_of_mmdetection_in_float32():
    # Sums of a hundred products, and of thousands in the gradients of kernels.
    check("models/fpn_nearest_odd", dtype=jnp.float32, tolerance=2e-5)


def test_extra_level_is_every_second_pixel_of_the_coarsest():
    network: Any = FPN(features=4)
    shapes = jax.eval_shape(network.init, jax.random.key(0), SMALL)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.normal(size=x.shape), shapes)
    *_, p5, p6 = jax.jit(network.apply)(variables, SMALL)
    assert p6.shape == (2, 2, 2, 4)
    np.testing.assert_array_equal(p6, p5[:, ::2, ::2])


def test_nearest_pixel_is_that_of_the_rounded_down_position_on_odd_maps():
    maps = (jnp.zeros((1, 5, 1, 1)), jnp.arange(3.0).reshape(1, 3, 1, 1))
    identity = np.zeros((3, 3, 1, 1))
    identity[1, 1] = 1
    params = {
        name: {"kernel": kernel, "bias": np.zeros(1)}
        for name, kernel in {
            "lateral_2": np.ones((1, 1, 1, 1)),
            "lateral_3": np.ones((1, 1, 1, 1)),
            "output_2": identity,
            "output_3": identity,
        }.items()
    }
    network: Any = FPN(features=1)
    p2, p3, _ = network.apply({"params": params}, maps)
    # Row floor(i * 3 / 5); cropping a doubled map would give 0, 0, 1, 1, 2.
    assert p2.ravel().tolist() == [0, 0, 1, 1, 2]
    assert p3.ravel().tolist() == [0, 1, 2]


def test_initial_kernels_are_xavier_uniform():
    network: Any = FPN(features=64)
    maps = Stages(*(jnp.ones((1, s, s, 32)) for s in (8, 4, 2, 1)))
    params = jax.jit(network.init)(jax.random.key(0), maps)["params"]
    for name, fan in {"lateral_3": 32 + 64, "output_3": 9 * 128}.items():
        kernel, limit = params[name]["kernel"], np.sqrt(6 / fan)
        assert np.max(np.abs(kernel)) <= limit
        np.testing.assert_allclose(np.std(kernel), limit / np.sqrt(3), rtol=0.05)
        assert not np.any(params[name]["bias"])


def test_levels_have_the_dtype_of_the_computation():
    network = FPN(features=4, dtype=jnp.bfloat16)
    levels, variables = jax.eval_shape(
        lambda: network.init_with_output(jax.random.key(0), SMALL)
    )
    assert {level.dtype for level in levels} == {jnp.dtype(jnp.bfloat16)}
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


WRONG_SIZES = SMALL._replace(c4=jnp.ones((2, 4, 5, 3)))


@pytest.mark.parametrize(
    ("fields", "maps", "words"),
    [
        ({"features": 0}, SMALL, "`features` must be a positive int, got 0"),
        (
            {"extra_level": "conv"},
            SMALL,
            "`extra_level` must be one of 'pool', 'lateral', got 'conv'",
        ),
        ({"norm": "batch"}, SMALL, "`norm` must be a class of layers, .*'batch'"),
        ({"upsample": "carafe"}, SMALL, "`upsample` must be a class of layers, "),
        ({"upsample": nn.MaxPoolDownsample}, SMALL, "`upsample` .* doubles a map"),
        ({"dtype": "bf16"}, SMALL, "`dtype` must be a floating dtype"),
        ({}, SMALL.c2, "`stages` must be a sequence of maps, .* got a "),
        ({}, (), "`stages` must be a sequence of maps, .* got a tuple"),
        ({}, (SMALL.c2[0],), r"`stages\[0\]` must be floating and of rank 4, .*17, 18"),
        ({}, (SMALL.c2 > 0,), r"`stages\[0\]` must be floating .* got bool of"),
        (
            {},
            WRONG_SIZES,
            r"`stages\[2\]` must have half the size .* \(2, 5, 5\) .*got \(2, 4, 5\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(fields, maps, words):
    network: Any = FPN(**{"features": 4, **fields})
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(lambda: network.init(jax.random.key(0), maps))
