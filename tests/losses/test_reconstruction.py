"""Masked L1 against PyTorch."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.losses import masked_l1

GOLDEN = (
    pathlib.Path(__file__).parents[1] / "goldens" / "models" / "inpainting_losses.npz"
)


def nhwc(array):
    return np.moveaxis(np.asarray(array, np.float64), 1, -1)


@pytest.mark.parametrize("name", ["l1_masked", "l1_mean"])
def test_loss_and_gradient_are_those_of_pytorch(name):
    with np.load(GOLDEN) as golden, jax.enable_x64(True):
        predictions, targets, mask = (
            jnp.asarray(nhwc(golden[key])) for key in ("pred", "target", "mask")
        )
        if name == "l1_mean":
            mask = jnp.ones_like(mask)
        loss, gradient = jax.value_and_grad(masked_l1)(predictions, targets, mask=mask)
        # PyTorch adds 1e-12 to the number of pixels.
        np.testing.assert_allclose(loss, golden[f"loss/{name}"], rtol=1e-12)
        np.testing.assert_allclose(
            gradient, nhwc(golden[f"grad/{name}"]), rtol=0, atol=1e-12
        )


def test_empty_mask_gives_zero_loss():
    images = np.ones((1, 2, 2, 3), np.float32)
    assert masked_l1(images, -images, mask=np.zeros((1, 2, 2, 1))) == 0


def test_pixels_are_averaged_by_weights_of_any_sum():
    images = np.ones((1, 2, 2, 3), np.float32)
    mask = np.full((1, 2, 2, 1), 0.125, np.float32)
    assert masked_l1(images, -images, mask=mask) == 2


def test_bfloat16_is_summed_in_float32():
    images = jnp.ones((1, 32, 32, 3), jnp.bfloat16)
    loss = masked_l1(images, -images, mask=images[..., :1])
    assert loss.dtype == jnp.float32
    assert loss == 2


@pytest.mark.parametrize(
    ("targets", "mask", "message"),
    [
        ((1, 4, 5, 3), (1, 4, 5, 1), r"`predictions` .* got \(1, 4, 4, 3\)"),
        ((1, 4, 4, 3), (1, 4, 4, 3), r"`mask` .* \(1, 4, 4, 1\), got \(1, 4, 4, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(targets, mask, message):
    with pytest.raises(ValueError, match=message):
        masked_l1(np.ones((1, 4, 4, 3)), np.ones(targets), mask=np.ones(mask))
