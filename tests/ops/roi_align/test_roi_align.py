"""Properties of RoIAlign, and agreement with a loop in float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import test_util
from jax.sharding import PartitionSpec as P
from jaxtyping import DTypeLike

from carafe_jax.errors import RefusedError
from carafe_jax.ops import Boxes, roi_align, roi_levels
from carafe_jax.ops.roi_align import pooling
from carafe_jax.ops.roi_align.regions import Spec, join_levels, locate
from tests.ops.roi_align import reference

# Levels of 56 x 80 pixels; the last has less cells than bins.
SIZES, STRIDES = [(14, 20), (7, 10), (4, 5)], [4, 8, 16]
OPTIONS = {"strides": tuple(STRIDES), "output_size": 3, "finest_scale": 12.0}
RNG = np.random.default_rng(0)
BOXES = np.array(
    [
        [3.2, 4.1, 17.5, 14.9],
        [0, 0, 80, 56],  # The whole image.
        [2, 20, 78, 24],  # Elongated, along either axis.
        [40, 1, 43.5, 55],
        [70, 50, 95, 70],  # Partly outside.
        [-60, -50, -40, -30],  # Wholly outside, before and after.
        [100, 10, 120, 30],
        [12.5, 9.25, 12.5, 9.25],  # Empty, along both axes or one.
        [20, 20, 20, 50],
        [-200, -100, 300, 200],  # Far larger than the image.
    ]
)


def make_pyramid(images: int = 1, channels: int = 2, dtype: DTypeLike = np.float32):
    return [
        jnp.asarray(RNG.normal(size=(images, h, w, channels)), dtype) for h, w in SIZES
    ]


def make_boxes(boxes, valid=None, dtype: DTypeLike = np.float32):
    boxes = jnp.asarray(boxes, dtype)
    valid = jnp.ones(boxes.shape[:-1], bool) if valid is None else jnp.asarray(valid)
    return Boxes(boxes, valid)


NAMES = "strides", "output_size", "sampling_ratio", "finest_scale"
compiled = jax.jit(roi_align, static_argnames=NAMES)


def run(pyramid, boxes, **options):
    return compiled(pyramid, boxes, **{**OPTIONS, **options})


# Of a region; exact in bfloat16.
COTANGENT = (np.arange(18) % 7 - 3).reshape(3, 3, 2) / 4


@jax.jit
def features_and_gradient(pyramid, boxes):
    """Return the features of two channels, and a gradient."""
    features, pull = jax.vjp(
        lambda pyramid: roi_align(pyramid, boxes, **OPTIONS), pyramid
    )
    cotangent = jnp.broadcast_to(COTANGENT.astype(features.dtype), features.shape)
    # In a `shard_map`, it must vary over the axes that the features vary over.
    return features, pull(cotangent + 0 * features)[0]


def expected_features(pyramid, boxes, *, output_size=(3, 3), sampling_ratio=None):
    """Return the features of regions of one image, by the loop."""
    levels = roi_levels(jnp.asarray(boxes), levels=3, finest_scale=12.0)
    return np.stack(
        [
            reference.pool(
                np.asarray(pyramid[level][0], np.float64),
                box,
                stride=STRIDES[level],
                output_size=output_size,
                sampling_ratio=sampling_ratio,
            )
            for box, level in zip(boxes, np.asarray(levels), strict=True)
        ]
    )


@pytest.mark.parametrize(("sampling_ratio", "output_size"), [(None, 3), (3, (2, 5))])
def test_features_are_those_of_the_loop(sampling_ratio, output_size):
    with jax.enable_x64(True):
        pyramid = make_pyramid(dtype=np.float64)
        found = run(
            pyramid,
            make_boxes(BOXES[None], dtype=np.float64),
            output_size=output_size,
            sampling_ratio=sampling_ratio,
        )
    expected = expected_features(
        pyramid,
        BOXES,
        output_size=output_size if isinstance(output_size, tuple) else (3, 3),
        sampling_ratio=sampling_ratio,
    )
    chex.assert_trees_all_close(found[0], expected, rtol=0, atol=1e-12)


def test_gradient_is_that_of_the_loop():
    with jax.enable_x64(True):
        pyramid = make_pyramid(dtype=np.float64)
        boxes = make_boxes(BOXES[None], dtype=np.float64)
        _, found = features_and_gradient(pyramid, boxes)
        levels = np.asarray(roi_levels(BOXES, levels=3, finest_scale=12.0))
    for level, (size, stride) in enumerate(zip(SIZES, STRIDES, strict=True)):
        expected = sum(
            reference.spread(
                COTANGENT, size, BOXES[i], stride=stride, output_size=(3, 3)
            )
            for i in np.flatnonzero(levels == level)
        )
        chex.assert_trees_all_close(found[level][0], expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_gradients_of_every_order_are_those_of_finite_differences():
    with jax.enable_x64(True):
        pyramid = make_pyramid(dtype=np.float64)
        boxes = make_boxes(BOXES[None, :5], dtype=np.float64)

        @jax.jit
        def nonlinear(pyramid):
            return jnp.sin(run(pyramid, boxes)).sum()

        test_util.check_grads(nonlinear, (pyramid,), order=2, modes=["rev"])


# Where x1 + 1e-27 is rounded to x1, mmcv and the loop disagree whether there is a bin.
SIDES = st.just(0.0) | st.floats(1e-3, 130)


@settings(max_examples=15, deadline=None)
@given(st.tuples(st.floats(-30, 90), st.floats(-30, 70)), st.tuples(SIDES, SIDES))
def test_any_box_has_the_features_of_the_loop(corner, size):
    box = np.array([*corner, *np.add(corner, size)])
    with jax.enable_x64(True):
        pyramid = make_pyramid(dtype=np.float64)
        boxes = np.zeros_like(BOXES)  # Of one shape, so that it is compiled once.
        boxes[0] = box
        found = run(pyramid, make_boxes(boxes[None], dtype=np.float64))
    expected = expected_features(pyramid, box[None])
    chex.assert_trees_all_close(found[0, :1], expected, rtol=0, atol=1e-6)


def test_region_of_many_windows_is_whole():
    # 70 x 100 cells are 3 x 4 windows. Fewer, and rows or columns would be missing.
    with jax.enable_x64(True):
        features = jnp.asarray(RNG.normal(size=(1, 70, 100, 1)))
        box = np.array([1.0, 0.0, 99.0, 70.0])
        boxes = make_boxes(box[None, None], dtype=np.float64)
        found = compiled([features], boxes, strides=(1,), output_size=2)
    expected = reference.pool(
        np.asarray(features[0]), box, stride=1, output_size=(2, 2)
    )
    chex.assert_trees_all_close(found[0, 0], expected, rtol=0, atol=1e-12)


def test_number_of_samples_is_that_of_the_ratio_in_float32():
    # The bins are longer than one cell by 1e-9: one sample, as in float32.
    ramp = jnp.arange(8.0)[None, :, None, None] ** 2 * jnp.ones((1, 8, 8, 1))
    with jax.enable_x64(True):
        boxes = make_boxes([[[2, 2, 4 + 2e-9, 4 + 2e-9]]], dtype=np.float64)
        ramp = ramp.astype(np.float64)
        found = compiled([ramp], boxes, strides=(1,), output_size=2)
        # At two samples a bin, 0.25 more.
        expected = jnp.array([4.0, 9.0])
        chex.assert_trees_all_close(found[0, 0, :, 0, 0], expected, rtol=0, atol=1e-7)


def test_ramp_has_the_centres_of_the_bins():
    with jax.enable_x64(True):
        ramp = jnp.arange(8.0)[None, None, :, None] * jnp.ones((1, 8, 8, 1))
        boxes = make_boxes([[[1, 2, 7, 5]]], dtype=np.float64)
        found = compiled([ramp], boxes, strides=(1,), output_size=2)
        # Pixel k is centred at k + 0.5.
        expected = jnp.array([2.0, 5.0])
        chex.assert_trees_all_close(found[0, 0, 1, :, 0], expected, atol=1e-12)


def test_constant_map_stays_constant():
    pyramid = [jnp.full((1, h, w, 2), 3.0) for h, w in SIZES]
    found = run(pyramid, make_boxes(BOXES[None]))[:, :4]
    # The weights of a bin have a sum of 1 up to rounding.
    chex.assert_trees_all_close(found, jnp.full_like(found, 3.0), rtol=1e-6)


def test_slots_that_are_not_valid_have_no_features_and_no_gradient():
    pyramid = make_pyramid()
    valid = np.arange(len(BOXES)) < 4
    features, grad = features_and_gradient(
        pyramid, make_boxes(BOXES[None], valid[None])
    )
    assert not features[0, 4:].any()
    zeros = np.where(valid[:, None], BOXES, 0)[None]
    expected = features_and_gradient(pyramid, make_boxes(zeros, valid[None]))
    chex.assert_trees_all_equal((features, grad), expected)


def test_boxes_have_no_gradient():
    pyramid = make_pyramid()

    @jax.jit
    @jax.grad
    def gradient(coordinates):
        return run(pyramid, make_boxes(coordinates)).sum()

    assert not gradient(jnp.asarray(BOXES[None], np.float32)).any()


def test_nan_boxes_change_no_other_region():
    pyramid = make_pyramid()
    broken = BOXES.copy()
    broken[-2:] = [[np.nan], [np.inf]]
    expected = run(pyramid, make_boxes(BOXES[None]))
    found = run(pyramid, make_boxes(broken[None]))
    chex.assert_trees_all_equal(found[:, :-2], expected[:, :-2])


def test_region_of_more_samples_than_an_int_counts_is_still_a_mean():
    # 125,000 x 125,000 samples in each bin; those outside of the map are zeros.
    boxes = make_boxes(np.array([[[-1e6, -1e6, 1e6, 1e6]]]))
    pooled = run([jnp.ones_like(x) for x in make_pyramid()], boxes)
    assert 0 <= pooled.min() <= pooled.max() < 1e-4


def test_batch_has_the_bits_of_images_one_by_one():
    images = 3
    pyramid = make_pyramid(images)
    boxes = RNG.permuted(np.stack([BOXES] * images), axis=1)
    valid = RNG.uniform(size=boxes.shape[:2]) < 0.8
    together = features_and_gradient(pyramid, make_boxes(boxes, valid))
    for i in range(images):
        alone = features_and_gradient(
            [level[i : i + 1] for level in pyramid],
            make_boxes(boxes[i : i + 1], valid[i : i + 1]),
        )
        own = jax.tree.map(lambda x, i=i: x[i : i + 1], together)
        chex.assert_trees_all_equal(own, alone)


def test_padding_changes_no_bit():
    pyramid = make_pyramid()
    # Seven blocks of regions in place of one.
    padded = np.concatenate([BOXES, np.zeros((90, 4))])
    valid = np.arange(len(padded)) < len(BOXES)
    features, grad = features_and_gradient(
        pyramid, make_boxes(padded[None], valid[None])
    )
    expected = features_and_gradient(pyramid, make_boxes(BOXES[None]))
    chex.assert_trees_all_equal((features[:, : len(BOXES)], grad), expected)


def test_order_of_regions_changes_no_bit_of_their_features():
    pyramid = make_pyramid()
    order = RNG.permutation(len(BOXES))
    found = run(pyramid, make_boxes(BOXES[None, order]))
    expected = run(pyramid, make_boxes(BOXES[None]))[:, order]
    chex.assert_trees_all_equal(found, expected)


def test_bfloat16_features_are_summed_in_float32():
    pyramid = make_pyramid(dtype=jnp.bfloat16)
    boxes = make_boxes(BOXES[None])
    found = features_and_gradient(pyramid, boxes)
    wide = features_and_gradient([level.astype(np.float32) for level in pyramid], boxes)
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), wide)
    chex.assert_trees_all_equal_dtypes(found, rounded)
    chex.assert_trees_all_equal(found, rounded)


def test_vmap_adds_an_axis():
    pyramid = make_pyramid(images=3)
    boxes = make_boxes(np.stack([BOXES, BOXES[::-1], BOXES]))
    added = jax.tree.map(lambda x: x[:, None], (pyramid, boxes))
    found = jax.jit(jax.vmap(features_and_gradient))(*added)
    expected = features_and_gradient(pyramid, boxes)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[:, 0], found), expected, atol=1e-5
    )


def test_shard_map_has_the_features_and_gradient_of_the_whole():
    pyramid, boxes = make_pyramid(), make_boxes(BOXES[None])
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    mapped = jax.shard_map(
        features_and_gradient, mesh=mesh, in_specs=P("data"), out_specs=P("data")
    )
    chex.assert_trees_all_close(
        jax.jit(mapped)(pyramid, boxes),
        features_and_gradient(pyramid, boxes),
        atol=1e-5,
    )


@pytest.mark.parametrize(("images", "slots"), [(0, 2), (2, 0)])
def test_empty_batches_and_no_slots_are_empty(images, slots):
    pyramid = make_pyramid(images)
    found = run(pyramid, make_boxes(np.zeros((images, slots, 4))))
    assert found.shape == (images, slots, 3, 3, 2)


@pytest.mark.slow
def test_blocks_and_windows_change_nothing_but_rounding():
    pyramid, boxes = make_pyramid(), make_boxes(BOXES[None])
    expected = run(pyramid, boxes)
    # By default, all maps fit in one window, and all regions in one block.
    spec = Spec((3, 3), window=3, block=2)
    regions = locate(
        jnp.asarray(boxes.coordinates),
        jnp.asarray(boxes.valid),
        roi_levels(boxes.coordinates, levels=3, finest_scale=12.0),
        sizes=SIZES,
        strides=STRIDES,
        spec=spec,
    )
    cells = join_levels(pyramid, window=spec.window)
    found = jax.jit(pooling.pool, static_argnums=0)(spec, cells, regions)
    chex.assert_trees_all_close(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pyramid": []}, "`pyramid` must be one or more maps"),
        ({"pyramid": [np.zeros((1, 0, 3, 2), np.float32)] * 3}, "at least one cell"),
        ({"pyramid": [np.zeros((1, 2, 2, c)) for c in (1, 2, 2)]}, "same images and"),
        ({"pyramid": [np.zeros((1, 2, 2, 1), int)] * 3}, "one floating dtype"),
        ({"strides": [4, 8]}, "`strides` must be 3 positive numbers"),
        ({"strides": 4}, "`strides` must be 3 positive numbers, .* got 4"),
        ({"strides": [4, 8, 0]}, "`strides` must be positive and finite, got 0"),
        ({"strides": [4, 8, np.nan]}, "`strides` must be positive .* got nan"),
        ({"output_size": 0}, "`output_size` must be positive, got 0"),
        ({"output_size": 2.5}, "`output_size` must be an integer, got 2.5"),
        ({"output_size": None}, "`output_size` must be an integer, got None"),
        ({"output_size": (3, 3, 3)}, "`output_size` must be a positive int or two"),
        ({"sampling_ratio": 0}, "`sampling_ratio` must be positive, got 0"),
        ({"boxes": make_boxes(BOXES)}, r"`boxes` must have shape \(n, r, 4\)"),
        ({"boxes": make_boxes(BOXES[None].repeat(2, 0))}, "for the 1 images"),
        ({"boxes": BOXES[None]}, "`boxes` must be `Boxes`, got "),
        (
            {"boxes": Boxes(BOXES[None], np.ones((1, 1), bool))},
            "`boxes.valid` must be Boolean of shape",
        ),
        ({"sampling_ratio": 1.5}, "`sampling_ratio` must be an integer, got 1.5"),
        ({"finest_scale": np.inf}, "`finest_scale` must be positive and finite"),
        ({"pyramid": None}, "`pyramid` must be a sequence of maps, got None"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    call = {"pyramid": make_pyramid(), "boxes": make_boxes(BOXES[None]), **OPTIONS}
    call.update(change)
    with pytest.raises(RefusedError, match=message):
        roi_align(call.pop("pyramid"), call.pop("boxes"), **call)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_everything_traces_under_strict_promotion(dtype):
    pyramid, boxes = make_pyramid(dtype=dtype), make_boxes(BOXES[None], dtype=dtype)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        features, _ = jax.eval_shape(features_and_gradient, pyramid, boxes)
        assert features.dtype == dtype
        jax.eval_shape(lambda boxes: roi_levels(boxes, levels=4), boxes.coordinates)
