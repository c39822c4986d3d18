"""Both ways of greedy suppression against the loop, on any graph of suppressions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.ops.suppression import suppress, suppress_by_rows, suppress_by_sweeps
from tests.ops import greedy

WAYS = [suppress_by_rows, suppress_by_sweeps]


@functools.cache
def compiled(way):
    return jax.jit(way)


def kept_by(way, suppresses, candidates):
    kept = compiled(way)(jnp.asarray(suppresses), jnp.asarray(candidates))
    return np.flatnonzero(kept).tolist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 1.0])
def test_suppression_is_greedy_on_random_graphs(way, density):
    rng = np.random.default_rng(0)
    for _ in range(20):
        suppresses = np.triu(rng.random((40, 40)) < density, 1)
        candidates = rng.random(40) < 0.8
        expected = greedy.kept_of(suppresses, candidates)
        assert kept_by(way, suppresses, candidates) == expected


@pytest.mark.parametrize("way", WAYS)
def test_in_a_chain_every_other_box_is_kept(way):
    # Each box suppresses the next alone: as many sweeps as boxes.
    suppresses, everything = np.eye(33, k=1, dtype=bool), np.ones(33, bool)
    assert kept_by(way, suppresses, everything) == list(range(0, 33, 2))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_candidate_suppresses_nothing(way):
    suppresses = np.triu(np.ones((3, 3), bool), 1)
    assert kept_by(way, suppresses, np.array([False, True, True])) == [1]
    assert kept_by(way, suppresses, np.zeros(3, bool)) == []


@pytest.mark.parametrize("way", WAYS)
def test_problems_under_vmap_do_not_influence_each_other(way):
    rng = np.random.default_rng(1)
    suppresses = np.triu(rng.random((2, 3, 20, 20)) < 0.2, 1)
    # One that takes the most sweeps beside others that take few.
    suppresses[1, 1] = np.eye(20, k=1)
    candidates = np.ones((2, 3, 20), bool)
    kept = jax.jit(jax.vmap(jax.vmap(way)))(suppresses, candidates)
    for image, level in np.ndindex(2, 3):
        expected = greedy.kept_of(suppresses[image, level], candidates[image, level])
        assert np.flatnonzero(kept[image, level]).tolist() == expected


@pytest.mark.parametrize(
    ("platform", "way"),
    [
        ("cpu", suppress_by_rows),
        ("tpu", suppress_by_sweeps),
        ("cuda", suppress_by_sweeps),
        ("rocm", suppress_by_sweeps),
    ],
)
def test_the_platform_decides_the_way(platform, way):
    shapes = jax.ShapeDtypeStruct((9, 9), bool), jax.ShapeDtypeStruct((9,), bool)

    def operations(function):
        traced = jax.jit(lambda *arrays: function(*arrays)).trace(*shapes)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        names = "while", "reduce", "dynamic_slice"
        return [text.count(f"stablehlo.{name}") for name in names]

    assert operations(suppress) == operations(way)
