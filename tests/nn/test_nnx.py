"""Layers inside `flax.nnx` models, by the bridge."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import errors, nnx

from carafe_jax.nn import BatchNorm, CARAFEDownsample, LIPDownsample

IMAGE = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 6, 3)), jnp.float32)
normed = functools.partial(
    CARAFEDownsample, kernel_size=3, compressed_channels=4, norm=BatchNorm
)


class Model(nnx.Module):
    """A linen layer, then a layer of nnx."""

    def __init__(self, layer: Any, rngs: nnx.Rngs) -> None:
        self.layer = nnx.bridge.ToNNX(layer, rngs=rngs).lazy_init(IMAGE)
        self.output = nnx.Conv(3, 2, (1, 1), rngs=rngs)

    def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
        # Without `mutable`, Flax refuses the update of the statistics.
        mutable = ["batch_stats"] if train else False
        return self.output(self.layer(image, train=train, mutable=mutable))


@nnx.jit
def step(model: Model, optimizer: nnx.Optimizer) -> jax.Array:
    def loss(model: Model) -> jax.Array:
        return jnp.square(model(IMAGE, train=True) - 1).mean()

    value, gradients = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradients)
    return value


def encoder_of(model: Model) -> np.ndarray:
    layer: Any = model.layer
    return np.array(layer.content_encoder["kernel"])


def statistics(model: Model) -> Any:
    return nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))


def test_normed_layer_learns_and_keeps_its_statistics():
    model = Model(normed(), nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(0.03), wrt=nnx.Param)
    encoder = encoder_of(model)
    before = statistics(model)
    losses = [step(model, optimizer) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert np.any(encoder_of(model) != encoder)
    after = statistics(model)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert np.all(old != new)


def test_statistics_are_those_of_the_linen_layer():
    model = Model(normed(), nnx.Rngs(0))
    variables = {
        collection: nnx.to_pure_dict(nnx.state(model.layer, kind))
        for collection, kind in {
            "params": nnx.Param,
            "batch_stats": nnx.BatchStat,
        }.items()
    }
    _, expected = normed().apply(variables, IMAGE, True, mutable=["batch_stats"])
    model(IMAGE, train=True)
    jax.tree.map(
        np.testing.assert_array_equal,
        statistics(model)["layer"],
        expected["batch_stats"],
    )


def test_trained_model_uses_its_statistics_and_changes_nothing():
    model = Model(normed(), nnx.Rngs(0))
    before = statistics(model)
    nnx.jit(lambda model: model(IMAGE))(model)
    jax.tree.map(np.testing.assert_array_equal, statistics(model), before)


@pytest.mark.parametrize("layer", [LIPDownsample(), normed(norm=None)], ids=type)
def test_layer_without_statistics_is_called_alike(layer):
    model = Model(layer, nnx.Rngs(0))
    assert model(IMAGE, train=True).shape == (2, 4, 3, 2)


def test_statistics_without_mutable_are_refused_by_flax():
    model = Model(normed(), nnx.Rngs(0))
    with pytest.raises(errors.ModifyScopeVariableError, match="batch_stats"):
        model.layer(IMAGE, train=True)
