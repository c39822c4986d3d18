"""Random colour jitter of images, on the device."""

import dataclasses

import dm_pix as pix
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from carafe_jax.arguments import check


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Random colour jitter of each training image; zeros change nothing."""

    brightness: float = 0.0
    """Largest change of the brightness, as a fraction of white."""
    contrast: float = 0.0
    """Largest deviation of the contrast factor from 1, in [0, 1)."""
    saturation: float = 0.0
    """Largest deviation of the saturation factor from 1, in [0, 1)."""
    hue: float = 0.0
    """Largest rotation of the hue, as a fraction of the colour circle, in [0, 0.5]."""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            value = getattr(self, name)
            check(name, value, "lie in [0, 1)", holds=0 <= value < 1)
        check("hue", self.hue, "lie in [0, 0.5]", holds=0 <= self.hue <= 0.5)

    def __call__(
        self, key: Key[Array, ""], image: UInt8[Array | np.ndarray, "n h w 3"]
    ) -> Float[Array, "n h w 3"]:
        """Jitter the colours of images.

        Args:
          key: Key of the random changes.
          image: RGB in [0, 255].

        Returns:
          RGB in [0, 255], in float32.
        """
        pixels = jnp.asarray(image, jnp.float32)
        if self == ColourJitter():
            return pixels
        keys = jax.random.split(key, image.shape[0])
        return 255 * jnp.clip(jax.vmap(self._one)(keys, pixels / 255), 0, 1)

    def _one(
        self, key: Key[Array, ""], image: Float[Array, "h w 3"]
    ) -> Float[Array, "h w 3"]:
        keys = jax.random.split(key, 4)
        pixels = jnp.asarray(pix.random_brightness(keys[0], image, self.brightness))
        low, high = 1 - self.contrast, 1 + self.contrast
        pixels = jnp.asarray(pix.random_contrast(keys[1], pixels, low, high))
        low, high = 1 - self.saturation, 1 + self.saturation
        pixels = jnp.clip(pixels, 0, 1)
        pixels = jnp.asarray(pix.random_saturation(keys[2], pixels, low, high))
        return jnp.asarray(pix.random_hue(keys[3], pixels, self.hue))
