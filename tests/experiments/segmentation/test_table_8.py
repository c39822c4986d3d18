"""Rows of table VIII: the recipe of PSPNet and PSANet, by their authors' code."""

import re

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.train.paths import flatten_with_paths
from experiments.segmentation._ade20k import ade20k_run
from experiments.segmentation.table_8_networks import ROWS


@pytest.mark.parametrize("name", ["pspnet_r50", "psanet_r50"])
def test_new_layers_learn_ten_times_as_fast_as_the_backbone(name):
    run = ade20k_run(name, ROWS[name])
    sgd = run.optimizer.sgd
    ((pattern, factor),) = sgd.rate_factors
    network, images = run.network.make(5), jnp.zeros((1, 97, 97, 3))
    params = jax.eval_shape(network.init, jax.random.key(0), images)["params"]
    parts = {
        path.split("/")[0]: bool(re.search(pattern, path))
        for path in flatten_with_paths(params)
    }
    new = {"pspnet_r50": "pyramid_pooling", "psanet_r50": "attention"}[name]
    heads = {"head": True, "auxiliary_head": True}
    assert parts == {"backbone": False, new: True, **heads}
    assert factor * sgd.learning_rate == pytest.approx(0.1)
    assert sgd.decayed == "all"
    assert run.optimization.rate_factors == sgd.rate_factors
    assert (run.data.rotation, run.data.blur) == (10, "gaussian")


def test_upernet_is_trained_by_the_default_recipe():
    run = ade20k_run("upernet_r50", ROWS["upernet_r50"])
    assert run.optimizer == type(run)().optimizer
    assert run.data.crop_size is None
