"""Adversarial losses against PyTorch and hand-made values."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.losses import discriminator_loss, generator_loss, patch_weights

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens" / "models" / "gan_losses.npz"
KINDS = {
    "vanilla": "vanilla",
    "least_squares": "lsgan",
    "wasserstein": "wgan",
    "hinge": "hinge",
}
# Recorded on the generator's losses.
LOSS_WEIGHT = 0.7


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def nhwc(array):
    return np.moveaxis(np.asarray(array, np.float64), 1, -1)


def logits(seed=0, *, shape=(2, 3, 4, 1)):
    return np.random.default_rng(seed).normal(0, 2, shape)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_of_the_discriminator_is_that_of_pytorch(golden, kind):
    with jax.enable_x64(True):
        logits = jnp.asarray(nhwc(golden["pred"]))
        loss = functools.partial(discriminator_loss, kind=kind)
        value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(logits, logits)
    parts = [f"{KINDS[kind]}/{target}/disc" for target in ("real", "fake")]
    expected = sum(float(golden[f"loss/{part}"]) for part in parts)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    for gradient, part in zip(gradients, parts, strict=True):
        np.testing.assert_allclose(
            gradient, nhwc(golden[f"grad/{part}"]), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("kind", KINDS)
def test_loss_of_the_generator_is_that_of_pytorch(golden, kind):
    with jax.enable_x64(True):
        loss = functools.partial(generator_loss, kind=kind)
        value, gradient = jax.value_and_grad(loss)(jnp.asarray(nhwc(golden["pred"])))
    part = f"{KINDS[kind]}/real/gen"
    np.testing.assert_allclose(
        float(value), golden[f"loss/{part}"] / LOSS_WEIGHT, rtol=1e-12
    )
    np.testing.assert_allclose(
        gradient, nhwc(golden[f"grad/{part}"]) / LOSS_WEIGHT, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_discriminator_loss_falls_with_high_real_and_low_fake_logits(kind):
    unsure = jnp.full((1, 1, 1, 1), 0.5)
    loss = functools.partial(discriminator_loss, kind=kind)
    for_real, for_fake = jax.grad(loss, argnums=(0, 1))(unsure, unsure)
    assert for_real.item() < 0 < for_fake.item()


@pytest.mark.parametrize("kind", KINDS)
def test_generator_loss_falls_with_high_logits(kind):
    gradient = jax.grad(functools.partial(generator_loss, kind=kind))
    assert gradient(jnp.full((1, 1, 1, 1), -3.0)).item() < 0


@pytest.mark.parametrize("kind", KINDS)
def test_patches_of_weight_zero_do_not_count(kind):
    real, fake = logits(0), logits(1)
    weights = np.zeros((2, 3, 4, 1))
    weights[0, 1, 2] = weights[1, 0, 3] = 0.25
    chosen = weights[..., 0] > 0
    np.testing.assert_allclose(
        discriminator_loss(real, fake, kind=kind, weights=weights),
        discriminator_loss(real[chosen], fake[chosen], kind=kind),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        generator_loss(fake, kind=kind, weights=weights),
        generator_loss(fake[chosen], kind=kind),
        rtol=1e-6,
    )


def test_weighted_mean_is_that_of_a_loop():
    fake, weights = logits(shape=(2, 3, 4, 5)), np.abs(logits(1, shape=(2, 3, 4, 1)))
    total = weight = 0.0
    for index in np.ndindex(fake.shape):
        total -= weights[(*index[:3], 0)] * fake[index]
        weight += weights[(*index[:3], 0)]
    loss = generator_loss(fake, kind="hinge", weights=weights)
    np.testing.assert_allclose(loss, total / weight, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_weights_give_zero_loss_and_gradient(kind):
    weights = np.zeros((2, 3, 4, 1))

    def loss(real, fake):
        return discriminator_loss(
            real, fake, kind=kind, weights=weights
        ) + generator_loss(fake, kind=kind, weights=weights)

    arguments = np.float32(logits(0)), np.float32(logits(1))
    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(*arguments)
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_large_logits_give_finite_losses():
    far = jnp.asarray([[[[-200.0], [200.0]]]])
    np.testing.assert_allclose(discriminator_loss(far, far, kind="vanilla"), 200)


def test_bfloat16_logits_are_summed_in_float32():
    # A sum in bfloat16 would stop at 256.
    ones = jnp.ones((1, 32, 32, 1), jnp.bfloat16)
    loss = generator_loss(ones, kind="wasserstein", weights=ones)
    assert loss.dtype == jnp.float32
    assert loss == -1


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"`kind` must be one of 'vanilla'.*'lsgan'"):
        generator_loss(logits(), kind="lsgan")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("shape", [(2, 3, 5, 1), (2, 3, 4, 2), (1, 2, 3, 4, 1)])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"`weights` .* \(2, 3, 4, 1\), got"):
        generator_loss(logits(), kind="hinge", weights=np.ones(shape))


def area_average(mask, height, width):
    """Average over cells by refining every pixel: exact, slow."""
    fine = mask.repeat(height, 0).repeat(width, 1)
    rows, columns = mask.shape
    return fine.reshape(height, rows, width, columns).mean((1, 3))


@pytest.mark.parametrize("size", [(3, 4), (2, 5), (1, 1), (6, 8), (7, 20)])
def test_patch_weights_are_means_over_cells(size):
    holes = np.random.default_rng(0).random((2, 6, 8, 1)) < 0.4
    mask = holes.astype(np.float32)
    weights = jax.jit(functools.partial(patch_weights, size=size))(mask)
    expected = np.stack([area_average(m[..., 0], *size) for m in mask])[..., None]
    assert weights.shape == (2, *size, 1)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_patch_weights_of_a_hole_everywhere_are_one():
    weights = patch_weights(jnp.ones((1, 37, 50, 1)), size=(5, 9))
    np.testing.assert_allclose(weights, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("mask", "size", "message"),
    [
        (np.ones((4, 4, 1)), (2, 2), r"`mask` .* got shape \(4, 4, 1\)"),
        (np.ones((1, 4, 4, 1)), (0, 2), r"`size` must be positive, got \(0, 2\)"),
    ],
)
def test_wrong_arguments_of_patch_weights_are_refused(mask, size, message):
    with pytest.raises(ValueError, match=message):
        patch_weights(mask, size=size)
