"""Configurations of detectors."""

import dataclasses
import functools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import Downsampler, LIPBlock
from carafe_jax.models.backbones.choices import DOWNSAMPLERS
from carafe_jax.models.detection import DetectorConfig, FasterRCNN, Upsampler
from carafe_jax.models.resampler_choices import UPSAMPLERS
from carafe_jax.nn import DeformableConv
from tests.tiny_detectors import CONFIG


def with_fields(**fields: Any) -> DetectorConfig:
    return dataclasses.replace(CONFIG, **fields)


def made(**fields: Any) -> Any:
    """Return a detector, whose parts pyright knows as modules of any kind."""
    return with_fields(**fields).make(classes=2)


def class_of(factory):
    return getattr(factory, "func", factory)


def test_every_choice_of_an_up_sampler_has_a_layer_of_that_name():
    assert set(UPSAMPLERS) == set(get_args(Upsampler))
    for name, layer in UPSAMPLERS.items():
        assert layer.__name__.lower() == f"{name.replace('_', '')}upsample"


@pytest.mark.parametrize(
    "upsampler",
    [
        pytest.param(name, marks=[] if name == "carafe" else [pytest.mark.slow])
        for name in get_args(Upsampler)
    ],
)
def test_fpn_and_mask_head_have_the_up_samplers_of_their_configuration(upsampler):
    detector = made(
        upsampler=upsampler, mask_upsampler=upsampler, compressed_channels=(2, 4)
    )
    for part, default, inputs in (
        (detector.fpn, "nearest", (jnp.ones((1, 4, 6, 3)), jnp.ones((1, 2, 3, 3)))),
        (detector.mask_head, "deconv", jnp.ones((1, 4, 4, 8))),
    ):
        layer = None if upsampler == default else UPSAMPLERS[upsampler]
        assert class_of(part.upsample) == layer
        init = functools.partial(part.init, jax.random.key(0), inputs)
        variables = jax.eval_shape(init)
        sizes = {x.shape[-1] for x in jax.tree.leaves(variables)}
        compresses = upsampler in ("carafe", "spatial_attention", "gum")
        assert (4 in sizes) == compresses


@pytest.mark.parametrize("downsampler", get_args(Downsampler))
def test_backbone_has_the_down_sampler_of_its_configuration(downsampler):
    depth = 50 if downsampler == "lip_bottleneck" else 18
    backbone = made(depth=depth, downsampler=downsampler).backbone
    assert class_of(backbone.downsample) == DOWNSAMPLERS[downsampler]
    assert (backbone.block is LIPBlock) == (downsampler == "lip_bottleneck")


def test_deformable_stages_are_those_of_mmdetection():
    fields = {"depth": 50, "deformable": "c3-c5", "downsampler": "carafe"}
    for reading in ("plain", "spatial"):
        backbone = made(**fields, conv_after_downsample=reading).backbone
        assert backbone.spatial_conv == (None, *[DeformableConv] * 3)
        assert backbone.conv_after_downsample == reading


def test_detector_without_masks_has_no_mask_head():
    assert isinstance(made(detector="faster_rcnn"), FasterRCNN)
    assert not with_fields(detector="faster_rcnn").has_masks
    assert with_fields().has_masks


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (
            {"depth": 101, "deformable": "c3-c5", "downsampler": "carafe"},
            "Mask R-CNN R101 DCNv2, CARAFE++ in backbone, FPN and mask head",
        ),
        ({"depth": 18}, "Mask R-CNN R18, CARAFE++ in FPN and mask head"),
        ({"upsampler": "nearest", "mask_upsampler": "deconv"}, "Mask R-CNN R50"),
        (
            {"downsampler": "lip", "upsampler": "pixel_shuffle"},
            "Mask R-CNN R50, LIP in backbone, pixel shuffle in FPN, CARAFE++ in mask "
            "head",
        ),
        (
            {"detector": "faster_rcnn", "upsampler": "gum"},
            "Faster R-CNN R50, GUM in FPN",
        ),
    ],
)
def test_name_has_the_resamplers_that_are_not_plain(fields, name):
    assert DetectorConfig(**fields).name == name


def test_frozen_patterns_are_those_of_the_backbone():
    assert with_fields(frozen_stages=-1).frozen_patterns == ()
    stem, stage = with_fields(frozen_stages=1).frozen_patterns
    assert "stem" in stem
    assert "res2" in stage


def test_number_of_anchors_is_that_of_their_shapes():
    anchors = dataclasses.replace(CONFIG.anchors, ratios=(1.0, 2.0))
    assert made(anchors=anchors).rpn.anchors == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 0}, "`width` must be a positive int, got 0"),
        ({"fpn_features": -1}, "`fpn_features` must be a positive int"),
        ({"box_hidden": 0}, "`box_hidden` must be a positive int"),
        ({"mask_convs": -1}, "`mask_convs` must not be negative, got -1"),
        ({"compressed_channels": (16, 0)}, "`compressed_channels` must be 2 posit"),
        ({"frozen_stages": 5}, "`frozen_stages` must be an int from -1 to 4, got 5"),
        ({"deformable": "c3-c5"}, r"`depth` must be at least 50 with the `deformable`"),
        (
            {"depth": 50, "deformable": "c3-c5", "downsampler": "lip_bottleneck"},
            "`downsampler` must be another than 'lip_bottleneck' with deformable",
        ),
        ({"downsampler": "lip_bottleneck"}, "`depth` must be at least 50 .* got 18"),
    ],
)
def test_fields_that_break_a_rule_are_refused(fields, words):
    with pytest.raises(RefusedError, match=words):
        with_fields(**fields)


def test_value_that_is_no_choice_is_refused_with_the_choices():
    config = DetectorConfig()
    # A run-time type checker refuses it first.
    object.__setattr__(config, "upsampler", "cubic")
    with pytest.raises(RefusedError, match="`upsampler` must be one of 'nearest', 'bi"):
        config.__post_init__()
