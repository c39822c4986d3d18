import numpy as np

from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels


def test_pixels_are_restored_bit_for_bit():
    pixels = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    image = from_pixels(pixels)
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == (-1, 1)
    np.testing.assert_array_equal(to_pixels(image), pixels)


def test_values_outside_the_range_are_clipped():
    image = np.array([[-1.5, 0.0, 2.0]], np.float32)
    np.testing.assert_array_equal(to_pixels(image), [[0, 128, 255]])
