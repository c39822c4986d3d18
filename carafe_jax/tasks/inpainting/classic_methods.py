"""Classic fills of whole photographs, by name: without training, on any size."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt16

from carafe_jax.arguments import check
from carafe_jax.errors import MissingExtraError, no_type_check
from carafe_jax.tasks.inpainting import classic_fills
from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.photographs import (
    check_hole,
    check_photograph,
    put_back,
    to_8_bit_rgb,
)
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels

ClassicMethod = Literal["spline", "harmonic", "biharmonic", "telea", "navier-stokes"]

_FILLS: dict[ClassicMethod, Fill] = {
    "spline": classic_fills.spline,
    "harmonic": classic_fills.harmonic,
    "biharmonic": classic_fills.biharmonic,
    "telea": classic_fills.telea,
    "navier-stokes": classic_fills.navier_stokes,
}
_OF_OPENCV: tuple[ClassicMethod, ...] = ("telea", "navier-stokes")

# Pixels farther from the hole than this change the spline by less than one 8-bit
# level, and the other fills not at all.
_CONTEXT = 32
_LEAST_SIDE = 64


# Wrong photographs, holes and methods are refused in our own words.
@no_type_check
def fill_classic(
    photograph: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    hole: Bool[np.ndarray, "h w"],
    *,
    method: ClassicMethod = "spline",
) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
    """Return a photograph of any size with its hole filled by a classic method.

    It is filled in 8-bit RGB, as by a network (`TrainedInpainter.fill`).

    Example:
      >>> import numpy as np
      >>> from carafe_jax.tasks.inpainting import fill_classic
      >>> photograph = np.full((40, 60, 3), 90, np.uint8)
      >>> hole = np.zeros((40, 60), bool)
      >>> hole[10:20, 15:40] = True
      >>> photograph[hole] = 255
      >>> bool(np.all(fill_classic(photograph, hole) == 90))
      True

    Args:
      photograph: Grey (c = 1), grey and alpha (2), RGB (3) or RGBA (4), uint8 in
        [0, 255] or uint16 in [0, 65535].
      hole: True in the hole; at least one pixel is given.
      method: "spline" is a spline in tension and "harmonic" a membrane; "biharmonic" is
        that of scikit-image, which takes minutes where holes are hundreds of pixels
        wide; "telea" and "navier-stokes" are those of OpenCV.

    Returns:
      Of the photograph's shape and dtype; only pixels of the hole differ.

    Raises:
      RefusedError: An argument breaks a rule above.
      MissingExtraError: The method is one of OpenCV, which is not installed.
    """
    check_photograph(photograph)
    check_hole(hole, photograph)
    check_method(method)
    if not hole.any():
        return photograph.copy()
    part = _surroundings(hole)
    batch = InpaintingBatch(
        image=from_pixels(to_8_bit_rgb(photograph[part]))[None],
        mask=hole[part][None, ..., None].astype(np.float32),
    )
    result = photograph.copy()
    filled = to_pixels(_FILLS[method](batch)[0])
    result[part] = put_back(photograph[part], filled, hole[part])
    return result


def check_method(method: str) -> None:
    """Refuse a method that is unknown, or whose package is not installed."""
    rule = f"be one of {', '.join(map(repr, get_args(ClassicMethod)))}"
    check("method", method, rule, holds=method in _FILLS)
    if method in _OF_OPENCV and not classic_fills.has_opencv():
        raise MissingExtraError(
            f"The method {method!r} needs OpenCV: pip install 'carafe-jax[opencv]'."
        )


def _surroundings(hole: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Return the rows and columns around a hole.

    Their numbers are 64, 128, 256, ... or those of the photograph: a program is
    compiled for each size.
    """
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    height, width = hole.shape
    return _around(rows, height), _around(columns, width)


def _around(places: Int[np.ndarray, "n"], length: int) -> slice:
    first, last = int(places[0]) - _CONTEXT, int(places[-1]) + 1 + _CONTEXT
    side = _LEAST_SIDE
    while side < last - first:
        side *= 2
    start = max(0, min((first + last - side) // 2, length - side))
    return slice(start, min(start + side, length))
