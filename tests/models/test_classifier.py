"""Configurations of classifiers."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig, Downsampler
from carafe_jax.models.backbones.choices import DOWNSAMPLERS

MARKS = {  # Part of a parameter's path that is unique to a down-sampler.
    "carafe": "content_encoder",
    "dpp": "lambda",
    "lip": "downsample/norm",
    "lip_bottleneck": "lip_bottleneck",
}


def test_every_choice_of_a_down_sampler_has_a_factory():
    assert set(DOWNSAMPLERS) == set(get_args(Downsampler)), (
        "Downsampler and DOWNSAMPLERS in carafe_jax/models/backbones/choices.py must "
        "have the same names."
    )


@pytest.mark.parametrize("downsampler", sorted(DOWNSAMPLERS))
def test_choice_of_a_down_sampler_is_the_beginning_of_its_layers_name(downsampler):
    network: Any = ClassifierConfig(downsampler=downsampler).make(classes=5)
    factory = network.backbone.downsample
    layer = getattr(factory, "func", factory)
    name = "conv" if layer is None else layer.__name__
    assert name.lower().startswith(downsampler.removesuffix("_bottleneck")), (
        f"DOWNSAMPLERS[{downsampler!r}] in carafe_jax/models/backbones/choices.py "
        f"makes {name}."
    )


@pytest.mark.parametrize("downsampler", get_args(Downsampler))
def test_classifier_has_the_down_sampler_of_its_configuration(downsampler):
    network = ClassifierConfig(downsampler=downsampler, width=4).make(classes=5)
    image = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    assert jax.eval_shape(network.apply, variables, image).shape == (1, 5)
    paths = jax.tree_util.tree_leaves_with_path(variables["params"])
    names = [jax.tree_util.keystr(x, simple=True, separator="/") for x, _ in paths]
    found = {mark for mark in MARKS.values() if any(mark in name for name in names)}
    expected = {MARKS[downsampler]} if downsampler in MARKS else set()
    if downsampler == "lip_bottleneck":  # The stem has the simplified form.
        expected.add(MARKS["lip"])
    assert found == expected


@pytest.mark.parametrize("name", ["width", "compressed_channels", "norm_groups"])
def test_size_that_is_not_positive_is_refused(name):
    fields: Any = {name: 0}
    with pytest.raises(RefusedError, match=f"`{name}` must be positive, got 0"):
        ClassifierConfig(**fields)


def test_blocks_of_lip_need_bottlenecks():
    with pytest.raises(RefusedError, match=r"`depth` must be at least 50 .* got 18"):
        ClassifierConfig(downsampler="lip_bottleneck", depth=18)


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("downsampler", "pool", "'conv', 'max'"),
        ("depth", 20, "18, 34, 50"),
        ("normalizer", None, "'softmax', "),
        ("dtype", "bf16", "'float32', 'bfloat16'"),
        ("rematerialize", True, "'nothing', 'blocks'"),
    ],
)
def test_value_that_is_no_choice_is_refused_with_the_choices(name, value, choices):
    config = ClassifierConfig()
    object.__setattr__(config, name, value)  # A run-time type checker refuses it first.
    with pytest.raises(RefusedError, match=f"`{name}` must be one of {choices}"):
        config.__post_init__()
