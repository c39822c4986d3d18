"""Every public layer through the lifted transforms of `flax.linen`."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from carafe_jax.errors import RefusedError
from carafe_jax.models import ConvBlock
from carafe_jax.nn import CARAFE, BatchNorm, CARAFEDownsample
from tests.every_layer import (
    BLOCKS_OF_RESNET,
    FIELDS,
    NETWORKS,
    classes,
    inputs_of,
    made,
    primitives,
    switch_of,
    variables_of,
    with_slow_networks,
)

every_layer = pytest.mark.parametrize("name", with_slow_networks(classes()))
LARGE = NETWORKS | set(BLOCKS_OF_RESNET)
small_layers = pytest.mark.parametrize("name", sorted(set(FIELDS) - LARGE))
training = pytest.mark.parametrize("train", [False, True])

TRANSFORMS = {
    "remat": lambda layer, train: linen.remat(layer, static_argnums=(train,)),
    "jit": lambda layer, train: linen.jit(layer, static_argnums=(train,)),
    "map_variables": lambda layer, train: linen.map_variables(layer, "params"),
}
OF_TRANSFORMS = {"remat2", "checkpoint", "jit", "pjit", "name", "copy", "copy_p"}


def lifted(name, transform):
    position = 1 + len(inputs_of(name))  # The layer itself counts.
    return made(name, lambda layer: TRANSFORMS[transform](layer, position))


def shapes_of(name):
    init = functools.partial(made(name).init, jax.random.key(0), *inputs_of(name))
    return jax.eval_shape(lambda: init(switch_of(name, train=False)))


def outputs(layer, name, variables, *, train):
    """Return the output of a layer and, in training, its updated statistics."""
    mutable = ["batch_stats"] if train else False
    inputs: Any = (*inputs_of(name), switch_of(name, train=train))
    return layer.apply(variables, *inputs, mutable=mutable)


def program(layer, name, *, train):
    """Count the primitives of a layer, without those of the transforms."""
    return counted(functools.partial(outputs, layer, name, train=train), name)


def counted(function, name):
    counts = primitives(jax.make_jaxpr(function)(shapes_of(name)))
    return {key: count for key, count in counts.items() if key not in OF_TRANSFORMS}


@every_layer
def test_train_by_position_is_train_by_keyword_transformed_or_not(name):
    layer = made(name)
    keyword = "use_running_average" if name == "BatchNorm" else "train"

    def by_keyword(variables):
        switch: Any = {keyword: switch_of(name, train=True)}
        inputs: Any = inputs_of(name)
        return layer.apply(variables, *inputs, mutable=["batch_stats"], **switch)

    expected = counted(by_keyword, name)
    assert program(layer, name, train=True) == expected
    for transform in ["remat"] if name in LARGE else TRANSFORMS:
        assert program(lifted(name, transform), name, train=True) == expected


@small_layers
def test_rematerialised_layer_is_in_inference_mode_by_default(name):
    expected = program(made(name), name, train=False)
    assert program(lifted(name, "remat"), name, train=False) == expected


@pytest.mark.parametrize("name", with_slow_networks(sorted(LARGE & set(classes()))))
def test_rematerialised_layer_has_a_gradient_and_updates_its_statistics(name):
    layer = lifted(name, "remat")

    def loss(variables):
        out, updates = outputs(layer, name, variables, train=True)
        leaves = jax.tree.leaves(out)
        return sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in leaves), updates

    variables = shapes_of(name)
    gradients, updates = jax.eval_shape(jax.grad(loss, has_aux=True), variables)
    chex.assert_trees_all_equal_shapes_and_dtypes(gradients, variables)
    assert updates.get("batch_stats", {}) == variables.get("batch_stats", {})


@small_layers
def test_rematerialised_layer_has_the_same_outputs_statistics_and_gradients(name):
    def value_and_gradient(layer, variables):
        def loss(params):
            out, updates = outputs(layer, name, variables | params, train=True)
            weighted = (jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(out))
            return sum(weighted), (out, updates)

        params = {"params": variables.get("params", {})}
        return jax.value_and_grad(loss, has_aux=True)(params)

    variables = variables_of(made(name), name)
    layers = (made(name), lifted(name, "remat"))
    with jax.debug_nans(True):
        plain, remat = jax.jit(
            lambda variables: [value_and_gradient(layer, variables) for layer in layers]
        )(variables)
    # Sums in another order, in float32.
    chex.assert_trees_all_close(remat, plain, rtol=1e-4, atol=1e-5)
    statistics = plain[0][1][1].get("batch_stats", {})
    assert bool(statistics) == ("batch_stats" in variables)
    for before, after in zip(
        jax.tree.leaves(variables.get("batch_stats", {})),
        jax.tree.leaves(statistics),
        strict=True,
    ):
        assert np.any(before != after)


@small_layers
def test_layer_is_vmapped_over_maps_and_variables(name):
    inputs = inputs_of(name)
    # Any: flax's types know single axes alone.
    axes: Any = (*[0] * len(inputs), None)
    layer = made(
        name,
        lambda layer: linen.vmap(
            layer,
            in_axes=axes,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
        ),
    )
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf, leaf]), inputs)
    switch = switch_of(name, train=True)
    out, _ = jax.eval_shape(
        lambda: layer.init_with_output(jax.random.key(0), *stacked, switch)
    )
    expected, _ = jax.eval_shape(
        lambda: made(name).init_with_output(jax.random.key(0), *inputs, switch)
    )
    chex.assert_trees_all_equal(
        jax.tree.map(jnp.shape, out),
        jax.tree.map(lambda leaf: (3, *leaf.shape), expected),
    )


@training
@pytest.mark.parametrize(
    "layer",
    [
        functools.partial(CARAFE, scale=1, compressed_channels=2, norm=BatchNorm),
        functools.partial(ConvBlock, 3, norm=BatchNorm),
    ],
    ids=["CARAFE", "ConvBlock"],
)
def test_scanned_layers_are_layers_one_after_another(layer, train):
    class Step(linen.Module):
        @linen.compact
        def __call__(self, features, train):
            return layer(name="layer")(features, train), None

    broadcast: Any = linen.broadcast
    scanned = linen.scan(
        Step,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
        in_axes=broadcast,
        length=2,
    )()
    features = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 4, 3)), "f4")
    shapes = jax.eval_shape(lambda: scanned.init(jax.random.key(0), features, False))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype), shapes
    )
    (out, _), state = scanned.apply(variables, features, train, mutable=["batch_stats"])
    expected, statistics = features, []
    for index in range(2):
        of_layer = {
            collection: jax.tree.map(lambda leaf, i=index: leaf[i], tree["layer"])
            for collection, tree in variables.items()
        }
        expected, update = layer().apply(
            of_layer, expected, train=train, mutable=["batch_stats"]
        )
        statistics.append(update.get("batch_stats", {}))
    chex.assert_trees_all_close(out, expected, atol=1e-5)
    if train:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *statistics)
        chex.assert_trees_all_close(state["batch_stats"]["layer"], stacked, atol=1e-5)


def test_traced_train_is_refused_with_an_example():
    layer = linen.remat(CARAFEDownsample)(norm=BatchNorm)
    with pytest.raises(RefusedError, match=r"`train` .* static_argnums=\(2,\)"):
        layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 3)), True)


@pytest.mark.parametrize("train", ["yes", 1, np.zeros(2, bool)])
def test_train_that_is_no_bool_is_refused(train):
    layer = CARAFEDownsample(norm=BatchNorm)
    with pytest.raises(RefusedError, match="`train` must be a bool"):
        layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 3)), train)
