"""Filling of photographs of any size by networks trained on small crops."""

import dataclasses
import functools

import numpy as np
from flax import linen as nn
from jaxtyping import Bool, UInt8, UInt16

from carafe_jax.arguments import check, check_count
from carafe_jax.errors import no_type_check
from carafe_jax.tasks.inpainting.coarse_to_fine import (
    TILES_AT_ONCE,
    ReportProgress,
    fill_photograph,
)
from carafe_jax.tasks.inpainting.data import InpaintingData
from carafe_jax.tasks.inpainting.filler import Fill, Filler
from carafe_jax.tasks.inpainting.photographs import (
    check_hole,
    check_photograph,
    put_back,
    to_8_bit_rgb,
)
from carafe_jax.tasks.inpainting.tiles import MINIMUM_TILE_SIDE
from carafe_jax.train import Variables


@dataclasses.dataclass(frozen=True)
class TrainedInpainter:
    """A trained network that fills holes, with its variables and training data."""

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
        longest_side: int | None = None,
        progress: ReportProgress | None = None,
    ) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
        """Return a photograph of any size with its hole filled.

        The network receives 8-bit RGB, transparent pixels on white. Its fill is scaled
        to the photograph's bit depth, grey in a grey photograph, and opaque. It
        processes tiles about as large as its training crops (their side rounded up to a
        multiple of 64), and only those that hold a part of the hole: the time grows
        with the hole, and the memory is that of a few float32 copies of the photograph.

        Args:
          photograph: Grey (c = 1), grey and alpha (2), RGB (3) or RGBA (4), uint8 in
            [0, 255] or uint16 in [0, 65535].
          hole: True in the hole; at least one pixel is given.
          reach: Depth in pixels from the border of a hole that the network fills in one
            pass; deeper holes are filled at half the size first, and so on. None: a
            sixth of the side of its training crops.
          longest_side: Longest side to fill at, in pixels, at least 64, the side of the
            smallest tile. A larger photograph is halved until no side is longer,
            filled, and the fill up-sampled: faster, but softer. None: the full size.
          progress: Called with the number of filled tiles and of all tiles, over all
            sizes: once before the first, then after each batch.

        Returns:
          The filled photograph, of the same shape and dtype; only pixels of the hole
          differ.

        Raises:
          RefusedError: An argument breaks a rule above.
        """
        check_photograph(photograph)
        check_hole(hole, photograph)
        check_filling(reach=reach, longest_side=longest_side)
        filled = fill_photograph(
            to_8_bit_rgb(photograph),
            hole,
            fill=self._fill_tiles,
            reach=reach_of(self.data) if reach is None else reach,
            tile=self.data.crop_size,
            longest_side=longest_side,
            progress=progress,
        )
        return put_back(photograph, filled, hole)

    def fill_batches(self, *, batch_size: int) -> Fill:
        """Return a function that fills images in [-1, 1], `batch_size` at a time."""
        filler = Filler(self.network, batch_size=batch_size)
        return functools.partial(filler, self.variables)

    @functools.cached_property
    def _fill_tiles(self) -> Fill:
        return self.fill_batches(batch_size=TILES_AT_ONCE)


def check_filling(*, reach: int | None, longest_side: int | None) -> None:
    """Raise if a number is out of range."""
    if reach is not None:
        check_count("reach", reach)
    if longest_side is not None:
        # Smaller sides save no time, as a network processes one tile at least.
        rule = f"be at least {MINIMUM_TILE_SIDE}, the side of the smallest tile"
        check(
            "longest_side", longest_side, rule, holds=longest_side >= MINIMUM_TILE_SIDE
        )


def reach_of(data: InpaintingData) -> int:
    """Return the depth in pixels that a network trained on such crops fills well.

    A sixth of the side of its crops: most default holes are no deeper.
    """
    return max(1, data.crop_size // 6)
