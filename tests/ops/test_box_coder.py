"""Deltas of boxes relative to anchors, and boxes of deltas."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import clip_boxes, decode_boxes, encode_boxes
from tests.nn.torch_goldens import load

GOLDEN = load("bbox_coder")
STDS = {"rpn": (1.0, 1.0, 1.0, 1.0), "rcnn": (0.1, 0.1, 0.2, 0.2)}
SIZE = (50, 70)
BOX = np.array([[2, 0, 6, 8]], np.float32)
ANCHOR = np.array([[0, 0, 4, 4]], np.float32)
jitted_encode = jax.jit(encode_boxes, static_argnames="stds")
jitted_decode = jax.jit(decode_boxes, static_argnames=("stds", "max_log_ratio"))


def assert_close(actual, expected):
    # Ten roundings of the largest value: sides come from differences of corners.
    atol = 1e-6 * np.max(np.abs(expected))
    chex.assert_trees_all_close(actual, expected, rtol=0, atol=atol)


def encode_of_loop(boxes, anchors, stds):
    deltas = []
    for (x1, y1, x2, y2), (u1, v1, u2, v2) in zip(boxes, anchors, strict=True):
        w, h, aw, ah = x2 - x1, y2 - y1, u2 - u1, v2 - v1
        dx = ((x1 + x2) / 2 - (u1 + u2) / 2) / aw
        dy = ((y1 + y2) / 2 - (v1 + v2) / 2) / ah
        deltas.append([dx, dy, np.log(w / aw), np.log(h / ah)])
    return np.array(deltas) / stds


@pytest.mark.parametrize("kind", STDS)
def test_deltas_agree_with_mmdetection(kind):
    deltas = jitted_encode(GOLDEN["gt"], GOLDEN["proposals"], stds=STDS[kind])
    assert_close(deltas, GOLDEN[f"encode/{kind}"])


@pytest.mark.parametrize("kind", STDS)
def test_decoded_boxes_agree_with_mmdetection(kind):
    boxes = jitted_decode(GOLDEN["deltas"], GOLDEN["proposals"], stds=STDS[kind])
    assert_close(boxes, GOLDEN[f"decode/{kind}"])
    assert_close(clip_boxes(boxes, SIZE), GOLDEN[f"decode_clip/{kind}"])


@pytest.mark.parametrize("kind", STDS)
def test_each_class_has_its_own_deltas(kind):
    deltas = GOLDEN["deltas_3cls"].reshape(30, 3, 4)
    boxes = jitted_decode(deltas, GOLDEN["proposals"][:, None], stds=STDS[kind])
    expected = GOLDEN[f"decode_3cls_clip/{kind}"]
    assert_close(clip_boxes(boxes, SIZE).reshape(30, 12), expected)


@pytest.mark.parametrize("kind", STDS)
def test_float64_agrees_with_a_loop_and_decoding_inverts_it(kind):
    boxes, anchors = (GOLDEN[x].astype(np.float64) for x in ("gt", "proposals"))
    with jax.enable_x64(True):
        deltas = np.asarray(jitted_encode(boxes, anchors, stds=STDS[kind]))
        back = np.asarray(jitted_decode(deltas, anchors, stds=STDS[kind]))
    expected = encode_of_loop(boxes, anchors, STDS[kind])
    chex.assert_trees_all_close(deltas, expected, rtol=1e-12, atol=1e-12)
    # Within the clip of the sides.
    assert np.max(np.abs(deltas[:, 2:] * STDS[kind][2])) < np.log(1000 / 16)
    chex.assert_trees_all_close(back, boxes, rtol=1e-12, atol=1e-12)


def test_sides_are_clipped_both_ways_and_shifts_are_not():
    deltas = np.array([[100, -100, 50, -50]], np.float32)
    box = jitted_decode(deltas, ANCHOR)
    # Centre (402, -398), width 4 * 1000 / 16, height 4 * 16 / 1000.
    expected = np.array([[402 - 125, -398 - 0.032, 402 + 125, -398 + 0.032]])
    chex.assert_trees_all_close(np.float64(box), expected, rtol=1e-6)
    narrow = jitted_decode(deltas, ANCHOR, max_log_ratio=math.log(2))
    chex.assert_trees_all_close(
        narrow, np.array([[398, -399, 406, -397]], np.float32), rtol=1e-6
    )


def test_padding_has_deltas_of_zero_and_finite_gradients():
    zeros = np.zeros((1, 4), np.float32)
    boxes = np.concatenate([BOX, zeros, BOX, zeros])
    anchors = np.concatenate([ANCHOR, zeros, zeros, ANCHOR])
    np.testing.assert_array_equal(jitted_encode(boxes, anchors)[1], np.zeros(4))

    def total(boxes, anchors):
        deltas = jitted_encode(boxes, anchors, stds=STDS["rcnn"])
        return deltas.sum() + jitted_decode(deltas, anchors).sum()

    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(boxes, anchors)
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))


def test_gradients_of_a_box_are_those_of_the_formula():
    gradient = jax.jit(jax.grad(lambda box: encode_boxes(box, ANCHOR)[0, 2]))(BOX)
    # d log(w) / dx2 = 1 / w.
    chex.assert_trees_all_close(gradient, np.array([[-0.25, 0, 0.25, 0]], np.float32))


def test_bfloat16_deltas_are_decoded_in_float32():
    deltas = jnp.asarray(GOLDEN["deltas"], jnp.bfloat16)
    boxes = jitted_decode(deltas, GOLDEN["proposals"])
    assert boxes.dtype == jnp.float32
    assert_close(boxes, jitted_decode(deltas.astype(jnp.float32), GOLDEN["proposals"]))


@pytest.mark.parametrize("stds", [(1.0, 1.0), (1.0, 0.0, 1.0, 1.0)])
def test_wrong_stds_are_refused(stds):
    with pytest.raises(RefusedError, match="`stds` must be 4 positive numbers"):
        encode_boxes(BOX, ANCHOR, stds=stds)


def test_wrong_arrays_and_ratios_are_refused():
    with pytest.raises(RefusedError, match=r"`deltas` must have 4 .*\(1, 3\)"):
        decode_boxes(BOX[:, :3], ANCHOR)
    with pytest.raises(RefusedError, match="`anchors` must be floating"):
        encode_boxes(BOX, np.zeros((1, 4), np.int32))
    with pytest.raises(RefusedError, match=r"`max_log_ratio` must be positive, got 0"):
        decode_boxes(BOX, ANCHOR, max_log_ratio=0)
