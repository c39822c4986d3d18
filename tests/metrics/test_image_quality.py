import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics
from jax.typing import ArrayLike

from carafe_jax.metrics import inpainting_quality, ssim_map, to_unit_range

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/models/psnr_ssim_l1.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def golden_batch(golden) -> tuple[jax.Array, jax.Array, jax.Array]:
    images, targets = (
        jnp.asarray(golden[name][None] / 255, jnp.float32) for name in ("img2", "img1")
    )
    return images, targets, jnp.asarray(golden["hole_mask"][None], jnp.float32)


def batch(
    size: int = 3, *, height: int = 24, width: int = 32
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Make smooth images, noisy copies and masks with a tenth of holes."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    phases = rng.uniform(0, 6, (size, 1, 1, 3))
    waves = np.sin(9 * rows[..., None] + 7 * columns[..., None] + phases)
    targets = 0.5 + 0.4 * waves
    noise = rng.normal(0, 0.05, targets.shape) * rng.uniform(0.5, 2, (size, 1, 1, 1))
    masks = rng.random((size, height, width, 1)) < 0.1
    arrays = (np.clip(targets + noise, 0, 1), targets, masks)
    images, targets, masks = (jnp.asarray(array, jnp.float32) for array in arrays)
    return images, targets, masks


def everywhere(images: jax.Array) -> jax.Array:
    return jnp.ones((*images.shape[:3], 1))


def reference_ssim_map(images: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """Return scikit-image's map of Wang et al. 2004, in float64."""
    result: Any = skimage.metrics.structural_similarity(
        np.asarray(images, np.float64),
        np.asarray(targets, np.float64),
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    return result[1].mean(-1)


def test_l1_of_the_golden_pair(golden):
    images, targets, masks = golden_batch(golden)
    whole = inpainting_quality(images, targets, masks=everywhere(images)).whole
    np.testing.assert_allclose(whole.l1, [100 * golden["l1_mean_01"]], rtol=1e-5)
    composed = inpainting_quality(images, targets, masks=masks)
    expected = 100 * golden["l1_composited_whole_01"]
    np.testing.assert_allclose(composed.whole.l1, [expected], rtol=1e-5)
    # Its images lie in [-1, 1]: differences are twice as large.
    expected = 100 * golden["l1_hole_m11_mmedit"] / 2
    np.testing.assert_allclose(composed.hole.l1, [expected], rtol=1e-5)


def test_psnr_of_the_golden_pair(golden):
    images, targets, masks = golden_batch(golden)
    whole = inpainting_quality(images, targets, masks=everywhere(images)).whole
    np.testing.assert_allclose(whole.psnr, [golden["psnr_skimage_float01"]], rtol=1e-5)
    np.testing.assert_allclose(whole.psnr, [golden["psnr_mmedit_float"]], rtol=1e-5)
    composed = inpainting_quality(images, targets, masks=masks).whole
    np.testing.assert_allclose(composed.psnr, [golden["psnr_composited"]], rtol=1e-5)


def test_ssim_of_the_golden_pair_away_from_the_border(golden):
    images, targets, _ = golden_batch(golden)
    inner = ssim_map(images, targets)[:, 5:-5, 5:-5].mean()
    # Variances are differences of float32 means of squares: seen 1e-6.
    np.testing.assert_allclose(inner, golden["ssim_mmedit"], atol=2e-5)


def test_ssim_map_is_that_of_scikit_image_to_the_border():
    images, targets, _ = batch()
    expected = np.stack(
        [reference_ssim_map(*pair) for pair in zip(images, targets, strict=True)]
    )
    # As above; windows that are almost flat divide by 1e-3.
    np.testing.assert_allclose(ssim_map(images, targets), expected, atol=5e-4)


@pytest.mark.parametrize(("height", "width"), [(5, 16), (1, 1)])
def test_ssim_map_has_the_size_of_the_images(height, width):
    images, targets, _ = batch(height=height, width=width)
    assert ssim_map(images, targets).shape == (3, height, width)


def test_ssim_map_refuses_images_of_another_size():
    images, targets, _ = batch()
    with pytest.raises(ValueError, match="`images` must have the shape of `targets`"):
        ssim_map(images[:, 1:], targets)


def test_ssim_of_equal_images_is_one():
    _, targets, _ = batch()
    # Variances are differences of float32 means of squares: seen 1.2e-5.
    np.testing.assert_allclose(ssim_map(targets, targets), 1, atol=1e-4)


def test_numbers_of_the_hole_are_means_over_its_pixels():
    predictions, targets, masks = batch()
    quality = inpainting_quality(predictions, targets, masks=masks)
    for i in range(3):
        prediction, target = (
            np.asarray(x[i], np.float64) for x in (predictions, targets)
        )
        hole = np.asarray(masks[i, ..., 0] > 0)
        errors = (prediction - target)[hole]
        composed = np.where(hole[..., None], prediction, target)
        similarity = reference_ssim_map(composed, target)
        # Float32 sums.
        np.testing.assert_allclose(
            quality.hole.l1[i], 100 * np.abs(errors).mean(), rtol=1e-4
        )
        np.testing.assert_allclose(
            quality.hole.psnr[i], -10 * np.log10((errors**2).mean()), atol=1e-3
        )
        np.testing.assert_allclose(
            quality.hole.ssim[i], similarity[hole].mean(), atol=5e-4
        )
        np.testing.assert_allclose(quality.whole.ssim[i], similarity.mean(), atol=5e-4)


def test_hole_of_the_whole_image_has_the_numbers_of_the_whole():
    predictions, targets, _ = batch()
    quality = inpainting_quality(predictions, targets, masks=everywhere(targets))
    for whole, hole in zip(quality.whole, quality.hole, strict=True):
        np.testing.assert_allclose(whole, hole, rtol=1e-6)


def test_hand_made_numbers():
    targets = jnp.zeros((3, 24, 32, 3))
    masks = jnp.zeros((3, 24, 32, 1)).at[:, :12, :16].set(1)
    quality = inpainting_quality(jnp.full_like(targets, 0.1), targets, masks=masks)
    np.testing.assert_allclose(quality.whole.l1, [2.5] * 3, rtol=1e-6)
    np.testing.assert_allclose(quality.hole.l1, [10.0] * 3, rtol=1e-6)
    np.testing.assert_allclose(quality.hole.psnr, [20.0] * 3, rtol=1e-6)
    whole = 20 + 10 * np.log10(4)
    np.testing.assert_allclose(quality.whole.psnr, [whole] * 3, rtol=1e-6)


def test_pixels_outside_the_hole_do_not_count():
    predictions, targets, masks = batch()
    spoilt = jnp.where(masks > 0, predictions, 0.0)
    first, second = (
        inpainting_quality(x, targets, masks=masks) for x in (predictions, spoilt)
    )
    for before, after in zip(
        jax.tree.leaves(first), jax.tree.leaves(second), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_each_image_has_the_numbers_it_has_alone():
    predictions, targets, masks = batch()
    together = inpainting_quality(predictions, targets, masks=masks)
    alone = [
        inpainting_quality(predictions[i, None], targets[i, None], masks=masks[i, None])
        for i in range(3)
    ]
    stacked = jax.tree.map(lambda *x: jnp.concatenate(x), *alone)
    for one, other in zip(
        jax.tree.leaves(together), jax.tree.leaves(stacked), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_perfect_image_has_no_error_and_infinite_psnr():
    _, targets, masks = batch(1)
    for part in inpainting_quality(targets, targets, masks=masks):
        np.testing.assert_array_equal(part.l1, [0.0])
        np.testing.assert_array_equal(part.psnr, [np.inf])
        np.testing.assert_allclose(part.ssim, [1.0], atol=1e-5)


def test_image_without_a_hole_has_no_numbers_there():
    predictions, targets, masks = batch(1)
    quality = inpainting_quality(predictions, targets, masks=jnp.zeros_like(masks))
    assert all(np.isnan(number).all() for number in quality.hole)


def test_half_precision_images_are_compared_in_float32():
    predictions, targets, masks = (x.astype(jnp.bfloat16) for x in batch())
    quality = inpainting_quality(predictions, targets, masks=masks)
    exact = inpainting_quality(
        predictions.astype(jnp.float32), targets.astype(jnp.float32), masks=masks
    )
    for number, expected in zip(
        jax.tree.leaves(quality), jax.tree.leaves(exact), strict=True
    ):
        assert number.dtype == jnp.float32
        np.testing.assert_array_equal(number, expected)


def test_numpy_arrays_and_jit_give_the_same_numbers():
    arrays = batch()
    predictions, targets, masks = (np.asarray(array) for array in arrays)
    plain = inpainting_quality(predictions, targets, masks=masks)
    jitted = jax.jit(lambda p, t, m: inpainting_quality(p, t, masks=m))(*arrays)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(jitted), strict=True):
        # Compiled together, sums are in another order.
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_unit_range_maps_and_clips():
    images = jnp.array([-1.5, -1.0, 0.0, 1.0, 1.5]).reshape(1, 5, 1, 1)
    expected = np.array([0.0, 0.0, 0.5, 1.0, 1.0]).reshape(1, 5, 1, 1)
    np.testing.assert_allclose(to_unit_range(images), expected)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 4, 3), (4, 4, 3), (4, 4, 1)), "`targets` must have rank 4"),
        (((1, 4, 5, 3), (1, 4, 4, 3), (1, 4, 4, 1)), r"`predictions` .*\(1, 4, 5, 3\)"),
        (((1, 4, 4, 3), (1, 4, 4, 3), (1, 4, 4, 3)), r"`masks` .* got \(1, 4, 4, 3\)"),
        (((2, 4, 4, 3), (2, 4, 4, 3), (1, 4, 4, 1)), r"`masks` .* got \(1, 4, 4, 1\)"),
    ],
)
def test_refuses_shapes_that_do_not_belong_together(shapes, message):
    predictions, targets, masks = (jnp.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        inpainting_quality(predictions, targets, masks=masks)
