"""Sizes, parameters, dtypes and refusals of segmentation networks."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import nn
from carafe_jax.errors import RefusedError
from carafe_jax.models import (
    ClassHead,
    DeepStem,
    PSANet,
    PSPNet,
    PyramidPooling,
    ResNet18,
    ResNet50,
    ResNet101,
    Stages,
    UperNet,
)

CARAFE_DOWN = functools.partial(nn.CARAFEDownsample, norm=nn.BatchNorm)
PLACES: dict[str, Any] = {
    "ppm_upsample": nn.CARAFEUpsample,
    "fpn_upsample": nn.CARAFEUpsample,
    "fuse_upsample": nn.CARAFEUpsample,
}
NARROW: Any = functools.partial(ResNet18, width=4, stem=DeepStem)


def parameters(network):
    images = jnp.zeros((1, 64, 64, 3))
    params = jax.eval_shape(network.init, jax.random.key(0), images)["params"]
    return sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("backbone", "places", "count"),
    [
        (ResNet50(stem=DeepStem), {}, 64_222_294),
        (ResNet50(stem=DeepStem, downsample=CARAFE_DOWN), PLACES, 65_689_789),
        pytest.param(ResNet101(stem=DeepStem), {}, 83_214_422, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_as_many_as_in_the_original_network(backbone, places, count):
    assert parameters(UperNet(backbone, 150, **places)) == count


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("ppm_upsample", 755_344),
        ("fpn_upsample", 271_596),
        ("fuse_upsample", 369_900),
    ],
)
def test_carafe_adds_the_parameters_of_its_place(place, count):
    maps = [jnp.zeros((1, 16 >> i, 16 >> i, 256 << i)) for i in range(4)]

    def of_decoder(**fields):
        network: Any = UperNet(NARROW(), 150, **fields)
        init = functools.partial(network.init, method="decode")
        params = jax.eval_shape(init, jax.random.key(0), Stages(*maps))["params"]
        return sum(x.size for x in jax.tree.leaves(params))

    assert of_decoder(**{place: PLACES[place]}) - of_decoder() == count


UPSAMPLERS = [
    nn.NearestUpsample,
    nn.BilinearConvUpsample,
    nn.DeconvUpsample,
    nn.PixelShuffleUpsample,
    nn.GUMUpsample,
    nn.SpatialAttentionUpsample,
    nn.CARAFEUpsample,
]


@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_every_up_sampler_fits_each_place_on_odd_maps(upsample):
    places: Any = dict.fromkeys(PLACES, upsample)
    network = UperNet(NARROW(), 3, features=8, **places)
    images = jnp.zeros((2, 97, 71, 3))
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    logits = jax.eval_shape(network.apply, variables, images)
    assert logits.shape == (2, 25, 18, 3)


def test_sequential_fusion_by_interpolation_differs_from_the_direct_one():
    rng = np.random.default_rng(0)
    maps = [jnp.asarray(rng.normal(size=(1, 16 >> i, 16 >> i, 4))) for i in range(4)]
    direct: Any = UperNet(NARROW(), 3, features=2, bins=(1,))
    sequential: Any = direct.clone(fuse_upsample=nn.BilinearUpsample)
    init = functools.partial(direct.init, method="decode")
    variables = jax.jit(init)(jax.random.key(0), Stages(*maps))
    first, second = (
        jax.jit(functools.partial(network.apply, method="decode"))(
            variables, Stages(*maps)
        )
        for network in (direct, sequential)
    )
    assert np.abs(first.logits - second.logits).max() > 1e-3


@pytest.mark.parametrize(
    ("stride", "sizes"), [(32, (13, 7, 4)), (16, (13, 7, 7)), (8, (13, 13, 13))]
)
def test_dilated_backbone_keeps_the_size_of_its_last_maps(stride, sizes):
    backbone = ResNet50(width=4, stem=DeepStem, output_stride=stride)
    images = jnp.zeros((1, 97, 97, 3))
    variables = jax.eval_shape(backbone.init, jax.random.key(0), images)
    stages = jax.eval_shape(backbone.apply, variables, images)
    assert [x.shape[1] for x in stages[1:]] == list(sizes)


def test_dilated_backbone_has_the_parameters_of_the_strided_one():
    def shapes(**fields):
        backbone = ResNet18(width=4, **fields)
        images = jnp.zeros((1, 64, 64, 3))
        variables = jax.eval_shape(backbone.init, jax.random.key(0), images)
        return jax.tree.map(jnp.shape, variables)

    assert shapes() == shapes(output_stride=8, contract_dilation=True)


DILATED = functools.partial(NARROW, output_stride=8)
NETWORKS: list[Any] = [
    UperNet(NARROW(dtype="bfloat16"), 3, features=8, **PLACES),
    PSPNet(DILATED(dtype="bfloat16"), 3, features=8, pooled_features=4),
    PSANet(DILATED(dtype="bfloat16"), 3, features=8, window=(9, 9)),
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda x: type(x).__name__)
def test_features_have_the_dtype_and_logits_are_float32(network):
    images = jnp.zeros((2, 65, 65, 3))
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs = jax.eval_shape(
        functools.partial(network.apply, method="outputs"), variables, images
    )
    found = {x.dtype for x in outputs if x is not None}
    assert found == {jnp.dtype("float32")}


def test_dropout_is_active_in_training_alone():
    head: Any = ClassHead(3, features=8, dropout=0.5)
    features = np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)
    variables = jax.jit(head.init)(jax.random.key(0), features)

    def logits(key, train):
        rngs = {"dropout": key}
        out, _ = head.apply(variables, features, train, rngs=rngs, mutable=True)
        return out

    keys = jax.random.split(jax.random.key(1), 2)
    assert np.any(logits(keys[0], True) != logits(keys[1], True))
    np.testing.assert_array_equal(logits(keys[0], False), logits(keys[1], False))


def test_norm_of_a_single_value_is_refused_in_training():
    module: Any = PyramidPooling(4, convolve="pooled")
    features = jnp.ones((1, 8, 8, 3))
    variables = jax.jit(module.init)(jax.random.key(0), features)
    with pytest.raises(RefusedError, match="`features` must have more than one value"):
        module.apply(variables, features, True, mutable="batch_stats")


WRONG: Any = "carafe"
MAPS = Stages(*(jnp.zeros((1, 16 >> i, 16 >> i, 4)) for i in range(4)))


@pytest.mark.parametrize(
    ("network", "maps", "words"),
    [
        (UperNet(NARROW(), 3, features=0), MAPS, "`features` must be a positive int"),
        (UperNet(NARROW(), 0), MAPS, "`classes` must be a positive int, got 0"),
        (
            UperNet(NARROW(), 3, bins=(1, 0)),
            MAPS,
            "`bins` must be one or more",
        ),
        (
            UperNet(NARROW(), 3, fuse_upsample=nn.MaxPoolDownsample),
            MAPS,
            "`fuse_upsample` must make a layer that doubles a map",
        ),
        (
            UperNet(NARROW(), 3, fpn_upsample=WRONG),
            MAPS,
            "`fpn_upsample` must be a class of layers",
        ),
        (UperNet(NARROW(), 3), tuple(MAPS), "`stages` must have a map `c2`"),
        (
            PSPNet(NARROW(), 3),
            MAPS._replace(c5=MAPS.c5[0]),
            "`stages.c5` must be floating and of rank 4",
        ),
        (PSPNet(NARROW(), 3, dropout=1.0), MAPS, "`dropout` must be at least 0 and"),
    ],
)
def test_what_does_not_fit_is_refused(network, maps, words):
    init = functools.partial(network.init, method="decode")
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(init, jax.random.key(0), maps)


def test_images_and_backbones_that_do_not_fit_are_refused():
    network: Any = UperNet(NARROW, 3)
    with pytest.raises(RefusedError, match="`backbone` must be a network, an instance"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    network = UperNet(NARROW(output_stride=4), 3)
    with pytest.raises(RefusedError, match="`output_stride` must be 32, 16 or 8"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
