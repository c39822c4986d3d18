import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import crop_bitmaps
from tests import detection_goldens
from tests.ops.roi_align import reference

RNG = np.random.default_rng(0)
BITMAPS = RNG.integers(0, 2, (3, 50, 61), dtype=np.uint8)
BOXES = np.array(
    [
        [3, 4, 31, 32],
        [0, 0, 61, 50],
        [10.3, 7.9, 14.2, 45.1],
        [50, 40, 70, 60],  # Partly outside.
        [5, 5, 5, 9],  # Empty.
    ],
    np.float32,
)
TARGETS = np.array([2, 0, 1, 1, 0])


compiled = jax.jit(crop_bitmaps, static_argnames="output_size")


def expected_crop(bitmap, box, size):
    limits = np.array(bitmap.shape[::-1] * 2)
    box = np.clip(box.astype(np.float64), 0, limits)
    features = bitmap[..., None].astype(np.float64)
    return reference.pool(features, box, stride=1, output_size=(size, size))[..., 0]


@pytest.mark.parametrize("size", [5, 28])
def test_crops_are_those_of_the_loop(size):
    found = compiled(BITMAPS, BOXES, targets=TARGETS, output_size=size)
    expected = np.stack(
        [
            expected_crop(BITMAPS[target], box, size)
            for box, target in zip(BOXES, TARGETS, strict=True)
        ]
    )
    # Positions near 60 have steps of 4e-6, and up to 12 x 10 samples are added.
    chex.assert_trees_all_close(found, expected.astype(np.float32), atol=5e-5)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("mask_rcnn_fpn", np.float64),
        ("mask_rcnn_fpn_carafe", np.float64),
        ("mask_rcnn_fpn_carafe", np.float32),
    ],
)
def test_targets_are_those_of_the_detector(name, dtype):
    golden = detection_goldens.load(name)
    rois = golden["ref64_train/mask_rois"]
    found = []
    with jax.enable_x64(dtype == np.float64):
        for i in range(len(golden["input/images"])):
            boxes = rois[rois[:, 0] == i, 1:].astype(dtype)
            masks = golden[f"gt/{i}/masks"]
            targets = golden[f"train/rcnn/{i}/pos_assigned_gt_inds"]
            # Of one shape, so that it is compiled once.
            crops = compiled(
                pad_first(masks, 3),
                pad_first(boxes, 8),
                targets=pad_first(targets, 8),
                output_size=28,
            )
            found.append(crops[: len(boxes)])
    targets = np.concatenate(found) >= 0.5
    np.testing.assert_array_equal(targets, golden["train/mask_targets"])


def pad_first(array, count):
    missing = [(0, count - len(array)), *[(0, 0)] * (array.ndim - 1)]
    return np.pad(array, missing)


@pytest.mark.parametrize("factor", [1, 2, 3, 6, 7, 10])
def test_bin_that_is_half_covered_is_exactly_a_half(factor):
    # An integer box of `factor` pixels a bin has its samples on pixels.
    side = 4 * factor
    bitmap = np.zeros((1, 43, 45), np.uint8)  # One shape, so that it is compiled once.
    rows, columns = np.indices((factor, factor))
    half = (rows * factor + columns) % 2 if factor % 2 == 0 else rows >= 0
    bitmap[0, 1 : 1 + side, 2 : 2 + side] = np.tile(half, (4, 4))
    box = np.array([[2, 1, 2 + side, 1 + side]], np.float32)
    found = compiled(bitmap, box, targets=np.array([0]), output_size=4)
    expected = 0.5 if factor % 2 == 0 else 1.0
    np.testing.assert_array_equal(found, np.full((1, 4, 4), expected))


def test_padding_of_boxes_and_bitmaps_changes_no_bit():
    padded = compiled(
        np.concatenate([BITMAPS, np.zeros_like(BITMAPS)]),
        np.concatenate([BOXES, np.zeros((20, 4), np.float32)]),
        targets=np.concatenate([TARGETS, np.zeros(20, int)]),
        output_size=28,
    )
    assert not padded[len(BOXES) :].any()
    expected = compiled(BITMAPS, BOXES, targets=TARGETS, output_size=28)
    np.testing.assert_array_equal(padded[: len(BOXES)], expected)


def test_images_can_be_mapped_over():
    bitmaps = np.stack([BITMAPS, BITMAPS[::-1]])
    boxes, targets = np.stack([BOXES, BOXES[::-1]]), np.stack([TARGETS] * 2)

    def crop(bitmaps, boxes, targets):
        return crop_bitmaps(bitmaps, boxes, targets=targets, output_size=7)

    found = jax.jit(jax.vmap(crop))(bitmaps, boxes, targets)
    each = zip(bitmaps, boxes, targets, strict=True)
    expected = [jax.jit(crop)(*image) for image in each]
    chex.assert_trees_all_close(found, jnp.stack(expected), atol=1e-6)


def test_boxes_have_no_gradient_and_no_box_has_an_empty_result():
    def total(boxes):
        return compiled(BITMAPS, boxes, targets=TARGETS).sum()

    assert not jax.grad(total)(jnp.asarray(BOXES)).any()
    assert crop_bitmaps(BITMAPS, BOXES[:0], targets=TARGETS[:0]).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bitmaps": BITMAPS.astype(bool)}, "`bitmaps` must be uint8 of shape"),
        ({"bitmaps": BITMAPS[0]}, "`bitmaps` must be uint8 of shape"),
        ({"bitmaps": BITMAPS[:0]}, "at least one pixel"),
        ({"targets": TARGETS[:2]}, r"`targets` must be \(r,\) for `boxes`"),
        ({"targets": TARGETS / 1.0}, "`targets` must be integers, got dtype float"),
        ({"output_size": 0}, "`output_size` must be positive, got 0"),
        ({"boxes": BOXES.astype(int)}, "`boxes` must be floating"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    call = {"bitmaps": BITMAPS, "boxes": BOXES, "targets": TARGETS, **change}
    with pytest.raises(RefusedError, match=message):
        crop_bitmaps(call.pop("bitmaps"), call.pop("boxes"), **call)


def test_crop_traces_under_strict_promotion():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        jax.eval_shape(
            lambda *arrays: crop_bitmaps(*arrays, targets=jnp.asarray(TARGETS)),
            BITMAPS,
            BOXES,
        )
