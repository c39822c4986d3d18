"""Batches on the device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD
from carafe_jax.tasks.detection.batch import checked_batch
from carafe_jax.tasks.detection.device_batch import device_batch


def arrays(n=2, size=(64, 128), slots=3, *, masks=True):
    rng = np.random.default_rng(0)
    made = {
        "image": rng.integers(0, 256, (n, *size, 3), dtype=np.uint8),
        "image_size": np.array([[50, 100], [64, 128]], np.int32)[:n],
        "padded_size": np.array([[64, 128]] * n, np.int32),
        "box": rng.random((n, slots, 4), dtype=np.float32),
        "object": rng.integers(0, 2, (n, slots)).astype(bool),
        "label": rng.integers(0, 5, (n, slots), dtype=np.int32),
        "weight": np.ones(n, np.float32),
    }
    shape = (n, slots, size[0], size[1] // 8)
    packed = rng.integers(0, 256, shape, dtype=np.uint8)
    return {**made, "masks": packed} if masks else made


def on_device(dtype=jnp.bfloat16):
    return jax.jit(lambda batch: device_batch(batch, dtype=dtype))


def test_batch_is_the_one_of_the_loss():
    given = arrays()
    made = on_device()(given)
    checked_batch(made, classes=5, masks=True)
    assert made.images.dtype == jnp.bfloat16
    expected = (given["image"] - np.array(IMAGENET_MEAN)) / IMAGENET_STD
    expected[0, 50:] = expected[0, :, 100:] = 0
    np.testing.assert_allclose(
        np.asarray(made.images, np.float32), expected, rtol=2**-8, atol=1e-6
    )
    np.testing.assert_array_equal(
        made.truth.masks, np.unpackbits(given["masks"], axis=-1)
    )
    for name, array in {
        "image_size": made.image_sizes,
        "padded_size": made.padded_sizes,
        "box": made.truth.boxes.coordinates,
        "object": made.truth.boxes.valid,
        "label": made.truth.classes,
        "weight": made.weights,
    }.items():
        np.testing.assert_array_equal(array, given[name])


def test_batch_without_masks_has_none():
    made = jax.eval_shape(on_device(), arrays(masks=False))
    assert made.truth.masks is None


def test_masks_are_unpacked_in_bytes():
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arrays(slots=20)
    )
    memory: Any = on_device().lower(shapes).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 2 * 20 * 64 * 128
