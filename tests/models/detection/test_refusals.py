"""Parts, images and settings that do not fit a detector."""

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import Classifier, ResNet
from carafe_jax.models.backbones import BasicBlock
from carafe_jax.models.detection import (
    AnchorSettings,
    DetectionSettings,
    ProposalSettings,
    RoISettings,
    RPNHead,
)
from tests import tiny_detectors

IMAGES = jnp.zeros((2, 64, 96, 3))
SIZES = jnp.array([[64, 96], [60, 90]])


class Halved(ResNet):
    """A backbone whose maps have twice the size that anchors need."""

    def __call__(self, image, train=False):
        return super().__call__(jnp.repeat(jnp.repeat(image, 2, 1), 2, 2), train)


def backbone(make=ResNet):
    return make((1, 1, 1, 1), BasicBlock, width=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"backbone": Classifier(backbone(), classes=2)},
            "`stages` must be a sequence of maps, such as `Stages`, got a ",
        ),
        (
            {"backbone": backbone(Halved)},
            r"`fpn` must make five maps of .* \[\(16, 24\), .* got \[\(32, 48\)",
        ),
        (
            {"rpn": RPNHead(8, anchors=4)},
            "`rpn` must predict 3 anchors for each pixel, .* got 1536 for a map of 16",
        ),
        (
            {"anchors": AnchorSettings(ratios=(1.0,))},
            "`rpn` must predict 1 anchors for each pixel",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(fields, words):
    with pytest.raises(RefusedError, match=words):
        tiny_detectors.variables_of(tiny_detectors.faster_rcnn(**fields))


@pytest.mark.parametrize("make", ["faster_rcnn", "mask_rcnn"])
@pytest.mark.parametrize(
    ("images", "sizes", "factors", "words"),
    [
        (
            IMAGES,
            SIZES[:1],
            None,
            r"`image_sizes` must hold \(height, width\) of each image, of shape "
            r"\(2, 2\), got \(1, 2\)",
        ),
        (
            IMAGES,
            SIZES,
            jnp.ones(2),
            r"`scale_factors` must hold the factors of width and height of each image, "
            r"of shape \(2, 2\), got \(2,\)",
        ),
        (
            IMAGES[0],
            jnp.ones((64, 2)),
            None,
            r"`images` must be floating of shape .* got float32 of shape \(64, 96, 3\)",
        ),
        (
            IMAGES.astype(jnp.uint8),
            SIZES,
            None,
            "`images` must be floating of shape .* got uint8",
        ),
    ],
)
def test_images_and_sizes_that_do_not_fit_are_refused(
    make, images, sizes, factors, words
):
    detector = getattr(tiny_detectors, make)()
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(detector.init, jax.random.key(0), images, sizes, factors)


@pytest.mark.parametrize(
    ("make", "fields", "words"),
    [
        (AnchorSettings, {"scale": 0}, "`scale` must be positive, got 0"),
        (AnchorSettings, {"ratios": ()}, r"`ratios` must be one or more .*got \(\)"),
        (AnchorSettings, {"ratios": (1.0, -2.0)}, "`ratios` must be one or more pos"),
        (ProposalSettings, {"count": 0}, "`count` must be a positive int, got 0"),
        (ProposalSettings, {"candidates": 1e3}, "`candidates` must be a positive int"),
        (ProposalSettings, {"iou_threshold": 1.5}, "`iou_threshold` must lie between"),
        (RoISettings, {"box_size": -1}, "`box_size` must be a positive int, got -1"),
        (RoISettings, {"mask_size": 7.0}, "`mask_size` must be a positive int"),
        (RoISettings, {"finest_scale": 0.0}, "`finest_scale` must be positive"),
        (DetectionSettings, {"score_threshold": 1}, r"`score_threshold` must lie in "),
        (DetectionSettings, {"iou_threshold": 0}, "`iou_threshold` must lie between"),
        (DetectionSettings, {"count": True}, "`count` must be a positive int, got T"),
        (DetectionSettings, {"candidates": 0}, "`candidates` must be a positive int"),
    ],
)
def test_settings_that_break_a_rule_are_refused(make, fields, words):
    with pytest.raises(RefusedError, match=words):
        make(**fields)


def test_all_scores_may_be_detections():
    assert DetectionSettings(score_threshold=0.0).score_threshold == 0
