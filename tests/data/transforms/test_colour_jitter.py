import jax
import numpy as np
import pytest

from carafe_jax.data import ColourJitter

FULL = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)


def test_zero_jitter_changes_nothing():
    image = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    np.testing.assert_array_equal(ColourJitter()(jax.random.key(0), image), image)


def test_jitter_changes_each_image_in_its_own_way():
    image = np.full((3, 2, 2, 3), [200, 100, 50], np.uint8)
    changed = np.asarray(FULL(jax.random.key(0), image))
    assert 0 <= changed.min() < changed.max() <= 255
    assert len({tuple(colour) for colour in changed[:, 0, 0].round(3)}) == 3
    again = FULL(jax.random.key(0), image)
    np.testing.assert_array_equal(changed, again)


def test_grey_images_have_no_colour_to_change():
    image = np.full((2, 2, 2, 3), 90, np.uint8)
    changed = ColourJitter(saturation=0.5, hue=0.5)(jax.random.key(1), image)
    np.testing.assert_allclose(changed, image, atol=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"contrast": 1.0}, r"`contrast` must lie in \[0, 1\), got 1.0"),
        ({"hue": 0.6}, r"`hue` must lie in \[0, 0.5\], got 0.6"),
        ({"brightness": -0.1}, r"`brightness` must lie in \[0, 1\), got -0.1"),
    ],
)
def test_invalid_jitter_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ColourJitter(**fields)
