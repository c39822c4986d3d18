"""Every resampler of `carafe_jax.nn` in every network, and errors for invalid ones."""

import functools
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen

from carafe_jax import nn
from carafe_jax.errors import RefusedError
from carafe_jax.models import (
    FPN,
    CARAFEConv,
    Classifier,
    ConvBlock,
    GlobalLocal,
    MaskHead,
    PartialGlobalLocal,
    PatchGAN,
    ResNet,
    ResNet18,
    ResNet50,
    Stages,
    UNet,
)
from carafe_jax.models.backbones import BasicBlock, DeepStem
from tests.every_layer import public_layers

PARTIAL_DOWN = [nn.PartialCARAFE, functools.partial(nn.PartialCARAFE, dtype="float32")]
PARTIAL_UP = [
    nn.PartialNearestUpsample,
    functools.partial(nn.PartialCARAFE, reassembly=nn.CARAFEUpsample),
]


class Halve(linen.Module):
    """A custom layer without fields."""

    @linen.compact
    def __call__(self, features, *, train=False):
        return features[:, ::2, ::2]


UNKNOWN: dict[str, Any] = {"factor": 2}  # No field of any layer.


def own_double(name, dtype):
    del name
    return lambda features: jnp.repeat(
        jnp.repeat(features, 2, axis=1), 2, axis=2
    ).astype(dtype)


DOWN = [
    *(
        layer
        for name, layer in public_layers().items()
        if name.endswith("Downsample") and layer.__module__.startswith("carafe_jax.nn")
    ),
    functools.partial(nn.CARAFE, scale="1/2", norm=nn.BatchNorm),
    functools.partial(ConvBlock, stride=2),
    CARAFEConv,
    functools.partial(linen.Conv, kernel_size=(3, 3), strides=2, padding=1),
    linen.remat(nn.CARAFEDownsample, static_argnums=(2,)),
    Halve,
    lambda features, **fields: CARAFEConv(features, **fields),
]
UP = [
    *(
        layer
        for name, layer in public_layers().items()
        if name.endswith("Upsample") and not name.startswith("Partial")
    ),
    nn.CARAFE,
    functools.partial(nn.DeconvUpsample, kernel_size=2),
    own_double,
]
BOTH = [(down, nn.NearestUpsample) for down in DOWN] + [
    (nn.MaxPoolDownsample, up) for up in UP
]
SMALL_RESNET = functools.partial(ResNet18, stage_sizes=(1, 1, 1, 1), width=2)
SMALL_UNET = functools.partial(UNet, stage_features=(2, 2), middle_dilations=(1,))
SMALL_GLOBAL = functools.partial(GlobalLocal, width=2, middle_dilations=(2,))
IMAGE = jnp.zeros((2, 37, 26, 3))
MASK = jnp.zeros((2, 37, 26, 1))


def label(value):
    value = value.func if isinstance(value, functools.partial) else value
    if isinstance(value, linen.Module) or not callable(value):
        return None  # A repr with an address would differ between processes.
    return getattr(value, "__name__", None)


def wrong(**fields: Any) -> dict[str, Any]:
    """Return the fields; their types are hidden from the type checker."""
    return fields


def shapes(network, *inputs):
    """Return the shapes of the output and the variables of a network in training."""
    key = jax.random.key(0)
    return jax.eval_shape(lambda: network.init_with_output(key, *inputs, True))


def test_every_resampler_of_the_package_is_tried():
    names = {
        layer.__name__
        for layer in (*DOWN, *UP, *PARTIAL_DOWN, *PARTIAL_UP)
        if isinstance(layer, type)
    }
    resamplers = {name for name in nn.__all__ if name.endswith("sample")}
    assert resamplers | {"CARAFE", "PartialCARAFE"} <= names


@pytest.mark.parametrize("downsample", DOWN, ids=label)
@pytest.mark.parametrize(
    "resnet",
    [
        functools.partial(ResNet18, stage_sizes=(1, 1, 1, 1), width=4),
        functools.partial(ResNet50, stage_sizes=(1, 1, 1, 1), width=2, stem=DeepStem),
    ],
    ids=["basic", "bottleneck"],
)
def test_resnet_accepts_every_down_sampler(resnet, downsample):
    maps, _ = shapes(resnet(downsample=downsample), IMAGE)
    sizes = [stage.shape[1:3] for stage in maps]
    assert sizes == [(10, 7), (5, 4), (3, 2), (2, 1)]


@pytest.mark.parametrize(("downsample", "upsample"), BOTH, ids=label)
def test_unet_accepts_every_resampler(downsample, upsample):
    network = UNet(
        stage_features=(4, 6, 8),
        middle_dilations=(1,),
        downsample=downsample,
        upsample=upsample,
    )
    out, variables = shapes(network, IMAGE, MASK)
    assert out.composed.shape == IMAGE.shape
    kernel = variables["params"]["encoder_1"]["kernel"]
    assert kernel.shape == (3, 3, 6, 6)


@pytest.mark.parametrize(("downsample", "upsample"), BOTH, ids=label)
def test_global_local_accepts_every_resampler(downsample, upsample):
    network = GlobalLocal(
        width=4,
        middle_dilations=(2,),
        downsample=downsample,
        upsample=upsample,
        norm=nn.BatchNorm,
    )
    out, variables = shapes(network, IMAGE, MASK)
    assert out.composed.shape == IMAGE.shape
    # Whatever it is, a norm follows: that of the network.
    assert {"down_1", "down_2", "up_0", "up_1"} <= variables["batch_stats"].keys()
    assert variables["batch_stats"]["down_1"]["norm"]["mean"].shape == (8,)


@pytest.mark.parametrize("upsample", [None, *UP], ids=label)
def test_feature_pyramid_takes_any_up_sampler(upsample):
    stages = [jnp.zeros((2, *size, 3)) for size in ((9, 11), (5, 6), (3, 3), (2, 2))]
    network = FPN(features=4, upsample=upsample, extra_level="lateral")
    levels, _ = shapes(network, Stages(*stages))
    expected = [(2, *size, 4) for size in ((9, 11), (5, 6), (3, 3), (2, 2), (1, 1))]
    assert [level.shape for level in levels] == expected


@pytest.mark.parametrize("upsample", [None, *UP], ids=label)
def test_mask_head_takes_any_up_sampler(upsample):
    network = MaskHead(classes=3, features=4, convs=1, upsample=upsample)
    logits, _ = shapes(network, jnp.zeros((2, 7, 7, 5)))
    assert logits.shape == (2, 14, 14, 3)


@pytest.mark.parametrize("downsample", PARTIAL_DOWN, ids=label)
@pytest.mark.parametrize("upsample", PARTIAL_UP, ids=label)
def test_partial_network_accepts_every_partial_resampler(downsample, upsample):
    network = PartialGlobalLocal(
        width=2, middle_dilations=(2,), downsample=downsample, upsample=upsample
    )
    assert shapes(network, IMAGE, MASK)[0].composed.shape == IMAGE.shape


def test_factory_of_any_keywords_receives_all_that_are_offered():
    given = {}

    def downsample(**fields):
        given[fields["name"]] = set(fields)
        return nn.StridedConvDownsample(**fields)

    shapes(SMALL_RESNET(downsample=downsample), IMAGE)
    shapes(SMALL_UNET(downsample=downsample), IMAGE, MASK)
    assert given["shortcut_downsample"] == {"name", "dtype", "param_dtype"}
    assert given["down_1"] == {"name", "dtype", "param_dtype", "features"}


@pytest.mark.parametrize("make", [SMALL_UNET, SMALL_GLOBAL], ids=label)
def test_factory_that_forwards_keywords_may_make_a_layer_without_features(make):
    _, named = shapes(make(downsample=nn.CARAFEDownsample), IMAGE, MASK)
    network = make(downsample=lambda **fields: nn.CARAFEDownsample(**fields))
    _, handed_on = shapes(network, IMAGE, MASK)
    assert jax.tree.structure(handed_on) == jax.tree.structure(named)


def test_layers_and_backbones_may_be_lifted_where_train_is_static():
    lift = functools.partial(linen.remat, static_argnums=(2,))
    network = SMALL_GLOBAL(
        block=lift(ConvBlock),
        downsample=functools.partial(lift(ConvBlock), stride=2),
        norm=nn.BatchNorm,
    )
    shapes(network, IMAGE, MASK)
    backbone = lift(ResNet)(
        stage_sizes=(1, 1, 1, 1), block=lift(BasicBlock), width=2, norm=nn.BatchNorm
    )
    logits, _ = shapes(Classifier(backbone, classes=5), IMAGE)
    assert logits.shape == (2, 5)


def test_convolution_follows_a_resampler_that_cannot_change_the_channels():
    network = UNet(stage_features=(4, 6), downsample=nn.CARAFEDownsample)
    _, variables = shapes(network, IMAGE, MASK)
    down = variables["params"]["down_1"]
    assert set(down) == {"resample", "conv"}
    assert down["conv"]["kernel"].shape == (3, 3, 4, 6)


def test_resampler_with_features_receives_them_without_a_convolution():
    network = UNet(stage_features=(4, 6), downsample=nn.StridedConvDownsample)
    _, variables = shapes(network, IMAGE, MASK)
    assert set(variables["params"]["down_1"]) == {"conv"}


def test_network_passes_its_dtypes_unless_a_partial_binds_them():
    params = {}
    for own in ({}, {"param_dtype": jnp.float32}):
        network = ResNet18(
            stage_sizes=(1, 1, 1, 1),
            width=2,
            downsample=functools.partial(nn.DPPDownsample, **own),
            dtype=jnp.bfloat16,
            param_dtype=jnp.float16,
        )
        maps, variables = shapes(network, IMAGE)
        assert maps.c5.dtype == jnp.bfloat16
        params[bool(own)] = variables["params"]["stem"]["downsample"]["alpha"].dtype
    assert params == {False: jnp.float16, True: jnp.float32}


@pytest.mark.parametrize(
    "norm",
    [
        linen.BatchNorm,
        functools.partial(linen.GroupNorm, num_groups=2),
        linen.LayerNorm,
        linen.RMSNorm,
        linen.InstanceNorm,
        functools.partial(nn.BatchNorm, use_running_average=True),
    ],
    ids=label,
)
def test_norms_of_flax_are_norms(norm):
    maps, variables = shapes(
        ResNet18(stage_sizes=(1, 1, 1, 1), width=2, norm=norm), IMAGE
    )
    assert maps.c5.shape == (2, 2, 1, 16)
    assert set(variables["params"]["stem"]) == {"conv1", "norm1"}
    network = PatchGAN(features=(2, 2), strides=(2, 2), norm=norm)
    assert shapes(network, IMAGE)[0].shape[0] == 2


MAKES = "must be a class of layers, or a functools.partial of one, .* got "


@pytest.mark.parametrize("argument", ["downsample", "upsample"])
@pytest.mark.parametrize("make", [SMALL_UNET, SMALL_GLOBAL, SMALL_RESNET], ids=label)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (nn.CARAFE(), rf"{MAKES}a layer: pass CARAFE or functools.partial\(CARAFE, "),
        ("carafe", rf"{MAKES}'carafe': pass CARAFE.*sample or functools.partial\("),
        (0.5, f"{MAKES}0.5: pass CARAFE"),
        (max, f"{MAKES}<built-in function max>: pass CARAFE"),
        (nn.LIPTrunk, "must make a layer that .*CARAFE.*, got LIPTrunk, which makes"),
        (nn.LIPHead, "got LIPHead: missing a required argument: 'trunk'"),
        (jnp.tanh, "got tanh: missing a required argument: 'x'"),
        (nn.PartialCARAFE, "`masked` must be a `Masked`"),
        (
            functools.partial(nn.CARAFE, **UNKNOWN),
            "sample` must bind fields that CARAFE has, .* unexpected .* 'factor'",
        ),
        (
            lambda **fields: nn.CARAFE(**UNKNOWN, **fields),
            "from the keywords .*`dtype`.*, got <lambda>: .* unexpected .* 'factor'",
        ),
    ],
    ids=label,
)
def test_value_that_makes_no_resampler_is_refused(make, argument, wrong, words):
    if make is SMALL_RESNET and argument == "upsample":
        return
    inputs = (IMAGE,) if make is SMALL_RESNET else (IMAGE, MASK)
    with pytest.raises(RefusedError, match=words) as caught:
        shapes(make(**{argument: wrong}), *inputs)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("make", [SMALL_UNET, SMALL_GLOBAL], ids=label)
@pytest.mark.parametrize(
    ("argument", "wrong", "words"),
    [
        ("downsample", nn.NearestUpsample, r"halves .* makes \(74, 52\) of \(37, 26\)"),
        ("downsample", nn.CARAFEUpsample, r"halves .* got CARAFEUpsample, which makes"),
        ("downsample", functools.partial(nn.CARAFE, scale="1/3"), "halves .* CARAFE"),
        ("upsample", nn.MaxPoolDownsample, "doubles .* got MaxPoolDownsample, which"),
        ("upsample", functools.partial(nn.CARAFE, scale=3), "doubles .* CARAFE"),
        ("downsample", None, f"{MAKES}None: pass CARAFEDownsample"),
        ("upsample", None, f"{MAKES}None: pass CARAFEUpsample"),
        ("dtype", "bf16", "`dtype` must be a floating dtype, .* got 'bf16'"),
        ("param_dtype", "bf16", "`param_dtype` must be a floating dtype, .* 'bf16'"),
    ],
    ids=label,
)
def test_resampler_that_does_not_fit_a_network_is_refused(make, argument, wrong, words):
    with pytest.raises(RefusedError, match=words):
        shapes(make(**{argument: wrong}), IMAGE, MASK)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"downsample": nn.NearestUpsample}, r"`downsample` .* halves .* NearestUp"),
        ({"norm": linen.BatchNorm()}, rf"`norm` {MAKES}a layer: pass BatchNorm or "),
        ({"norm": "batch"}, rf"`norm` {MAKES}'batch': pass BatchNorm or functools"),
        ({"norm": None}, rf"`norm` {MAKES}None: pass BatchNorm or functools"),
        ({"norm": linen.Dense}, "`norm` .* got Dense: missing .*: 'features'"),
        (
            {"norm": lambda **fields: linen.GroupNorm(2, **fields)},
            "`norm` .* from the keywords that it accepts, .*'use_running_average'",
        ),
        ({"norm": linen.relu}, "`norm` .* got relu: missing .*: 'x'"),
        ({"block": "bottleneck"}, f"`block` {MAKES}'bottleneck': pass Bottleneck"),
        ({"stem": DeepStem}, None),
        ({"dtype": "bf16"}, "`dtype` must be a floating dtype, .* got 'bf16'"),
        ({"dtype": jnp.int8}, "`dtype` must be a floating dtype, .*int8"),
        ({"param_dtype": None}, "`param_dtype` must be a floating dtype, .* None"),
    ],
    ids=label,
)
def test_argument_that_does_not_fit_resnet_is_refused(fields, words):
    network = SMALL_RESNET(**fields)
    if words is None:
        shapes(network, IMAGE)
        return
    with pytest.raises(RefusedError, match=words):
        shapes(network, IMAGE)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (ConvBlock(2, norm=linen.BatchNorm()), f"`norm` {MAKES}a layer"),
        (
            ConvBlock(2, **wrong(weight_norm="spectral")),
            f"`weight_norm` {MAKES}'spectral'",
        ),
        (CARAFEConv(2, **wrong(reassembly="up")), f"`reassembly` {MAKES}'up'"),
        (nn.CARAFE(norm=linen.BatchNorm()), f"`norm` {MAKES}a layer"),
        (
            Classifier(**wrong(backbone=ResNet18), classes=2),
            "`backbone` must be a network, an instance such as",
        ),
        (ConvBlock(2, dtype="bf16"), "`dtype` must be a floating dtype"),
        (nn.MaxPoolDownsample(dtype="bf16"), "`dtype` must be a floating dtype"),
        (nn.DeconvUpsample(param_dtype="f33"), "`param_dtype` must be a floating"),
        (nn.BatchNorm(True, dtype="bf16"), "`dtype` must be a floating dtype"),
    ],
    ids=label,
)
def test_layers_refuse_invalid_factories_and_dtypes(layer, words):
    with pytest.raises(RefusedError, match=words):
        layer.init(jax.random.key(0), IMAGE)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.PartialConvBlock(2, norm=linen.BatchNorm()), f"`norm` {MAKES}a layer"),
        (nn.PartialResampleConv(2, **wrong(resample=None)), f"`resample` {MAKES}None"),
        (nn.PartialResampleConv(2, resample=nn.CARAFE), "got a `Masked`: maps with"),
        (nn.PartialCARAFE(reassembly=nn.CARAFE()), f"`reassembly` {MAKES}a layer"),
        (nn.PartialCARAFE(reassembly=nn.MaxPoolDownsample), "must make a CARAFE layer"),
        (nn.PartialConv(2, dtype="bf16"), "`dtype` must be a floating dtype"),
        (nn.MaxPoolDownsample(), "`features` must be one map, got a `Masked`"),
    ],
    ids=label,
)
def test_partial_layers_refuse_invalid_factories(layer, words):
    with pytest.raises(RefusedError, match=words):
        layer.init(jax.random.key(0), nn.Masked(IMAGE, 1 - MASK))
