"""Square crops of random size and position, resized to the input of a network."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.arguments import check


def random_crop(
    photograph: UInt8[np.ndarray, "h w 3"],
    rng: np.random.Generator,
    *,
    size: int,
    fraction: tuple[float, float],
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Crop a random square from a photograph and shrink it to `size` pixels.

    Args:
      photograph: RGB in [0, 255], no side shorter than `size`.
      rng: Generator of the side and the position, both uniform in whole pixels.
      size: Side of the result, in pixels.
      fraction: Smallest and largest side of the square, as fractions of the shorter
        side of the photograph, in (0, 1]. The square is never smaller than
        `size`: crops are shrunk (bicubic, with antialiasing), not enlarged.

    Returns:
      RGB in [0, 255].

    Raises:
      RefusedError: The photograph is smaller than the crop.
    """
    height, width, _ = photograph.shape
    shorter = min(height, width)
    rule = f"not exceed the shorter side of the photograph ({height} x {width})"
    check("size", size, rule, holds=size <= shorter)
    smallest, largest = (max(size, round(shorter * part)) for part in fraction)
    side = int(rng.integers(smallest, largest, endpoint=True))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    square = photograph[top : top + side, left : left + side]
    image = Image.fromarray(np.ascontiguousarray(square))
    return np.array(
        image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    )
