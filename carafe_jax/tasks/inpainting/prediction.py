"""Fill photographs of any size with a network that was trained on small crops.

A network fills well what is as near to given pixels as in its training; farther in, it
falls back to a mean colour. So a deep hole is filled at a fraction of the size first,
where it is shallow. At twice that size its middle counts as given and the network fills
the rim, and so on up to the size of the photograph.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from flax import linen as nn
from jaxtyping import Bool, Float32, UInt8, UInt16
from PIL import Image
from scipy import ndimage

from carafe_jax.arguments import check_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.tasks.inpainting.data import InpaintingBatch, InpaintingData
from carafe_jax.tasks.inpainting.filler import Fill, Filler
from carafe_jax.tasks.inpainting.photographs import (
    check_photograph,
    put_back,
    to_8_bit_rgb,
)
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from carafe_jax.train import Variables

# A network is compiled for each size that it meets; sizes are padded to multiples.
_MULTIPLE = 64


@dataclasses.dataclass(frozen=True)
class TrainedInpainter:
    """A network that fills holes, its variables, and what it was trained on."""

    network: nn.Module
    variables: Variables
    name: str
    """Name of the network in tables."""
    data: InpaintingData
    step: int

    @no_type_check
    def fill(
        self,
        photograph: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
        hole: Bool[np.ndarray, "h w"],
        *,
        reach: int | None = None,
        longest_side: int = 1024,
    ) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
        """Return a photograph of any size with its hole filled.

        The network sees 8-bit RGB, transparent pixels on white. What it fills is scaled
        to the photograph's depth, grey in a grey photograph, and opaque.

        Args:
          photograph: Grey (c = 1), grey and alpha (2), RGB (3) or RGBA (4), uint8 in
            [0, 255] or uint16 in [0, 65535].
          hole: True in the hole; at least one pixel is given.
          reach: Pixels from the border of a hole that the network fills at once; deeper
            holes are filled at half the size first, and so on. None: an eighth of the
            side of the crops that it was trained on.
          longest_side: A larger photograph is reduced by a whole factor until no side
            is longer, and the fill is enlarged.

        Returns:
          Of the photograph's shape and dtype; only pixels of the hole differ.

        Raises:
          RefusedError: An argument breaks a rule above.
        """
        check_photograph(photograph)
        _check_hole(hole, photograph)
        check_filling(reach=reach, longest_side=longest_side)
        filled = fill_photograph(
            to_8_bit_rgb(photograph),
            hole,
            fill=self._fill_one,
            reach=reach_of(self.data) if reach is None else reach,
            longest_side=longest_side,
        )
        return put_back(photograph, filled, hole)

    def fill_batches(self, *, batch_size: int) -> Fill:
        """Return what fills batches of images in [-1, 1], some at a time."""
        filler = Filler(self.network, batch_size=batch_size)
        return functools.partial(filler, self.variables)

    @functools.cached_property
    def _fill_one(self) -> Fill:
        return self.fill_batches(batch_size=1)


def check_filling(*, reach: int | None, longest_side: int) -> None:
    """Refuse numbers that no photograph can be filled by."""
    for name, value in {"reach": reach, "longest_side": longest_side}.items():
        if value is not None:
            check_count(name, value)


@no_type_check
def _check_hole(hole: np.ndarray, photograph: np.ndarray) -> None:
    if not isinstance(hole, np.ndarray):
        raise RefusedError(
            "`hole` must be a NumPy array (`np.asarray` of a picture), got "
            f"{type(hole).__name__}."
        )
    if hole.shape != photograph.shape[:2] or hole.dtype != np.bool_:
        raise RefusedError(
            f"`hole` must be bool of shape {photograph.shape[:2]}, the photograph's, "
            f"got {hole.dtype} of shape {hole.shape}."
        )
    if hole.all():
        raise RefusedError("`hole` must leave a pixel to fill from, got none.")


def reach_of(data: InpaintingData) -> int:
    """Return the depth in pixels that a network trained on such crops fills well.

    An eighth of the side of its crops: about as deep as most of its holes were.
    """
    return max(1, data.crop_size // 8)


def fill_photograph(
    photo: UInt8[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
    *,
    fill: Fill,
    reach: int,
    longest_side: int,
) -> UInt8[np.ndarray, "h w 3"]:
    """Fill the hole of a photograph of any size.

    Args:
      photo: RGB in [0, 255].
      hole: True in the hole.
      fill: Fills images in [-1, 1], whose sides are multiples of 64.
      reach: Pixels from the border of a hole that it fills at one size; positive.
      longest_side: A larger photograph is reduced by a whole factor until no side is
        longer, to means over the pixels that are given, and the fill is enlarged;
        positive.

    Returns:
      The photograph; only pixels of the hole differ.
    """
    # Without types.
    depth = np.asarray(cast(Any, ndimage).distance_transform_edt(hole))
    unknown = hole
    for factor in _factors(hole.shape, depth.max(), reach, longest_side):
        enlarged = _fill_reduced(photo, unknown, fill, factor)
        photo = np.where(unknown[..., None], enlarged, photo)
        # At twice the size, what lies deeper is given.
        unknown = hole & (depth <= reach * factor / 2)
    return photo


def _factors(
    shape: tuple[int, ...], depth: float, reach: int, longest_side: int
) -> Iterator[int]:
    """Yield the factors to reduce a photograph by, from the largest to the smallest."""
    least = factor = -(-max(shape) // longest_side)
    # Smaller than this, nothing is left of a photograph.
    while depth > reach * factor and max(shape) > 4 * reach * factor:
        factor *= 2
    while factor >= least:
        yield factor
        factor //= 2


def _fill_reduced(
    photo: UInt8[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
    fill: Fill,
    factor: int,
) -> UInt8[np.ndarray, "h w 3"]:
    """Fill a reduced photograph, and enlarge it."""
    image, mask = _reduce(photo, hole, factor)
    height, width = image.shape[:2]
    pad = [(0, -height % _MULTIPLE), (0, -width % _MULTIPLE), (0, 0)]
    image, mask = (np.pad(x, pad, mode="symmetric")[None] for x in (image, mask))
    filled = fill(InpaintingBatch(image=image, mask=mask))[0, :height, :width]
    pixels = Image.fromarray(to_pixels(filled))
    large = pixels.resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(large)[: hole.shape[0], : hole.shape[1]]


def _reduce(
    photo: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"], factor: int
) -> tuple[
    Float32[np.ndarray, "rows columns 3"], Float32[np.ndarray, "rows columns 1"]
]:
    """Average blocks over their given pixels; a block without any is hole."""
    edge = [(0, -side % factor) for side in hole.shape]
    given = np.pad(~hole, edge)[..., None].astype(np.float32)
    pixels = given * from_pixels(np.pad(photo, [*edge, (0, 0)]))
    count, total = (_block_sums(x, factor) for x in (given, pixels))
    return total / np.maximum(count, 1), (count == 0).astype(np.float32)


def _block_sums(
    x: Float32[np.ndarray, "h w c"], factor: int
) -> Float32[np.ndarray, "rows columns c"]:
    height, width, channels = x.shape
    blocks = x.reshape(height // factor, factor, width // factor, factor, channels)
    return blocks.sum((1, 3))
