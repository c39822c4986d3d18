"""Rows of the tables of segmentation networks, and the small network."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from experiments.segmentation import small_upernet, table_9_places
from experiments.segmentation._resamplers import METHODS, PLAIN
from experiments.segmentation.compare_upsamplers import Comparison


def parameters(network, *, classes):
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    made = network.make(classes)
    variables = jax.eval_shape(made.init, jax.random.key(0), images)
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


def test_methods_are_different_networks():
    base = Comparison().base.network
    networks = {dataclasses.replace(base, **fields) for fields in METHODS.values()}
    assert len({network.name for network in networks}) == len(METHODS)


def test_comparison_is_evaluated_once_on_the_test_set():
    base = Comparison().base
    assert base.data.test_split == "test"
    assert base.loop.evaluate_every == base.loop.steps == 460


def test_plain_small_network_has_the_parameters_of_its_peer():
    # The same network in PyTorch, counted there.
    plain = dataclasses.replace(small_upernet.RUN.network, **PLAIN)
    assert parameters(plain, classes=11) == 869_371


@pytest.mark.parametrize("name", table_9_places.ROWS)
def test_rows_have_an_expected_number(name):
    assert f"{name} " in (table_9_places.__doc__ or "").replace("\n", " ")
