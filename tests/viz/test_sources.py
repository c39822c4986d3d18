"""Following output pixels back to their sources."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import reassemble
from carafe_jax.viz import Level, reassembly_sources, strongest_sources


def random_level(seed, size, scale, *, kernel_size=3, groups=1, n=1, given=True):
    rng = np.random.default_rng(seed)
    output = [math.ceil(side * Fraction(scale)) for side in size]
    kernels = rng.random((n, *output, groups, kernel_size**2))
    kernels /= kernels.sum(-1, keepdims=True)
    return Level(jnp.asarray(kernels, jnp.float32), scale, size if given else None)


def sources_by_paths(levels, example, pixel):
    """Walk along every path in float64: {source pixel: weight}."""
    *before, (kernels, scale, size) = levels
    kernels, scale = np.asarray(kernels, np.float64)[example], Fraction(scale)
    k = math.isqrt(kernels.shape[-1])
    i, j = pixel
    weights = {}
    for a in range(k):
        for b in range(k):
            y = math.floor(i / scale) + a - k // 2
            x = math.floor(j / scale) + b - k // 2
            if not (0 <= y < size[0] and 0 <= x < size[1]):
                continue
            weight = kernels[i, j, :, a * k + b].mean()
            sources = {(y, x): 1.0}
            if before:
                sources = sources_by_paths(before, example, (y, x))
            for source, share in sources.items():
                weights[source] = weights.get(source, 0.0) + weight * share
    return weights


CHAINS = {
    "up, up": [((4, 5), 2), ((8, 10), 2)],
    "down, down, odd": [((13, 11), "1/2"), ((7, 6), "1/2")],
    "down, up, cropped": [((9, 7), "1/2"), ((5, 4), 2), ((9, 7), 1)],
    "3/2, 2/3": [((6, 7), "3/2"), ((9, 11), "2/3")],
    "one level": [((5, 6), 3)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_weights_are_those_of_all_paths(name):
    levels = [
        random_level(seed, size, scale, groups=1 + seed % 2, n=2)
        for seed, (size, scale) in enumerate(CHAINS[name])
    ]
    rows, columns = levels[-1].kernels.shape[1:3]
    pixels = [(0, 0), (rows // 2, columns // 3), (rows - 1, columns - 1)]
    weights = np.asarray(reassembly_sources(levels, pixels))
    assert weights.shape == (2, 3, *CHAINS[name][0][0])
    for example in range(2):
        for index, pixel in enumerate(pixels):
            expected = np.zeros(weights.shape[2:])
            for source, weight in sources_by_paths(levels, example, pixel).items():
                expected[source] = weight
            # Sums of at most 9**3 products of float32 numbers below one.
            np.testing.assert_allclose(weights[example, index], expected, atol=1e-6)


def test_weights_reassemble_the_map():
    levels = [random_level(0, (9, 8), "1/2"), random_level(1, (5, 4), "3/2")]
    features = jnp.asarray(np.random.default_rng(2).normal(size=(1, 9, 8, 3)))
    output = features
    for level in levels:
        output = reassemble(output, level.kernels, scale=level.scale)
    weights = reassembly_sources(levels, [(3, 2), (7, 5)])
    by_weights = jnp.einsum("nphw,nhwc->npc", weights, features)
    expected = output[:, jnp.array([3, 7]), jnp.array([2, 5])]
    # Two float32 sums of some eighty terms around one.
    np.testing.assert_allclose(by_weights, expected, atol=1e-5)


def test_weights_sum_to_one_away_from_the_border():
    levels = [random_level(seed, (12 * 2**seed,) * 2, 2) for seed in range(3)]
    weights = reassembly_sources(levels, [(48, 50), (0, 0)])[0]
    np.testing.assert_allclose(weights[0].sum(), 1, atol=1e-6)  # Float32 sums.
    assert weights[1].sum() < 0.9


def test_nearest_kernels_have_one_source():
    levels = []
    for size in (5, 10, 20):
        level = random_level(0, (size, size), 2)
        levels.append(level._replace(kernels=jnp.zeros_like(level.kernels)))
    levels = [
        level._replace(kernels=level.kernels.at[..., 4].set(1)) for level in levels
    ]
    weights = np.asarray(reassembly_sources(levels, [(17, 39)]))[0, 0]
    assert np.argwhere(weights).tolist() == [[17 // 8, 39 // 8]]
    assert weights.sum() == 1


def test_groups_are_averaged():
    level = random_level(0, (5, 6), 2, groups=3)
    of_groups = [
        reassembly_sources(
            [level._replace(kernels=level.kernels[..., g : g + 1, :])], p
        )
        for p in [[(4, 4)]]
        for g in range(3)
    ]
    weights = reassembly_sources([level], [(4, 4)])
    np.testing.assert_allclose(weights, sum(of_groups) / 3, atol=1e-7)


@pytest.mark.parametrize(
    ("scale", "size", "assumed"),
    [(2, (5, 7), (5, 7)), ("3/2", (5, 7), (5, 7)), ("1/2", (5, 7), (6, 8))],
)
def test_size_of_the_source_is_the_largest_that_fits(scale, size, assumed):
    level = random_level(0, size, scale)
    pixels = [(1, 1)]
    weights = reassembly_sources([level._replace(size=None)], pixels)
    assert weights.shape[2:] == assumed
    exact = reassembly_sources([level], pixels)
    np.testing.assert_array_equal(weights[:, :, : size[0], : size[1]], exact)


def test_size_of_a_source_is_at_most_the_output_before():
    levels = [random_level(0, (9, 9), 1), random_level(1, (9, 9), "1/2", given=False)]
    expected = reassembly_sources(
        [levels[0], levels[1]._replace(size=(9, 9))], [(4, 4)]
    )
    np.testing.assert_array_equal(reassembly_sources(levels, [(4, 4)]), expected)


def test_bfloat16_kernels_are_followed_in_float32():
    level = random_level(0, (5, 5), 2)
    level = level._replace(kernels=level.kernels.astype(jnp.bfloat16))
    assert reassembly_sources([level], [(3, 3)]).dtype == jnp.float32


def test_it_runs_inside_jit():
    level = random_level(0, (5, 5), 2)

    def follow(kernels):
        return reassembly_sources([level._replace(kernels=kernels)], [(3, 3)])

    np.testing.assert_allclose(
        jax.jit(follow)(level.kernels), follow(level.kernels), atol=1e-7
    )


LEVEL = random_level(0, (5, 6), 2)


@pytest.mark.parametrize(
    ("levels", "pixels", "words"),
    [
        ([], [(0, 0)], r"`levels` must hold at least one level, got none"),
        (
            [Level(LEVEL.kernels[0])],
            [(0, 0)],
            r"`levels\[0\].kernels` .*\(10, 12, 1, 9",
        ),
        (
            [LEVEL, random_level(0, (10, 12), 2, n=2)],
            [(0, 0)],
            r"`levels\[1\].kernels` .* as many examples .* 1, got shape \(2, 20",
        ),
        ([LEVEL, random_level(0, (11, 12), 2)], [(0, 0)], r"`levels\[1\].size` .*\(11"),
        (
            [LEVEL._replace(scale="3/2")],
            [(0, 0)],
            r"`levels\[0\]` .*\(10, 12\), source",
        ),
        ([LEVEL._replace(size=(5, 5))], [(0, 0)], r"source \(5, 5\) and scale 2"),
        ([LEVEL._replace(scale=0.5)], [(0, 0)], r"`scale` must be .* float 0.5"),
        ([LEVEL], (0, 0), r"`pixels` must be pairs .* shape \(2,\)"),
        ([LEVEL], [(0.0, 1.0)], r"`pixels` must be .* whole .* float64"),
        ([LEVEL], [(0, 0), (10, 3)], r"`pixels` must lie .*\(10, 12\), got \(10, 3\)"),
        ([LEVEL], [(-1, 0)], r"`pixels` must lie .* got \(-1, 0\)"),
    ],
)
def test_refusals(levels, pixels, words):
    with pytest.raises(ValueError, match=words):
        reassembly_sources(levels, pixels)


@pytest.mark.parametrize(("share", "count"), [(0.4, 1), (0.5, 1), (0.6, 2), (1, 3)])
def test_strongest_sources_are_the_fewest(share, count):
    weights = np.array([[0.0, 0.2, 0.0], [0.5, 0.0, 0.3]])
    strongest = strongest_sources(weights, share=share)
    assert strongest.sum() == count
    assert weights[strongest].min() > weights[~strongest].max()


def test_weights_without_a_sum_are_refused():
    with pytest.raises(ValueError, match="`weights` must be finite, with a positive"):
        strongest_sources(np.zeros((2, 2)))


@pytest.mark.parametrize("share", [0, 1.1])
def test_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=rf"`share` must lie in \(0, 1\], got {share}"):
        strongest_sources(np.ones((2, 2)), share=share)
