"""Classic fills, without training, of photographs of any size."""

import numpy as np
from jaxtyping import Bool, UInt8, UInt16

from carafe_jax.arguments import check_choice
from carafe_jax.errors import no_type_check
from carafe_jax.tasks.inpainting.classic_fills import CLASSIC_FILLS, ClassicMethod
from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.hole_boxes import box_of
from carafe_jax.tasks.inpainting.photographs import (
    check_hole,
    check_photograph,
    put_back,
    to_8_bit_rgb,
)
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from carafe_jax.tasks.opencv import require_opencv

_MINIMUM_SIDE = 64


# Our own errors are clearer.
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
      method: "spline" is a spline in tension, "harmonic" a membrane, and "mean-colour"
        the mean of the given pixels; "biharmonic" is scikit-image's, which takes
        minutes for holes that are hundreds of pixels wide; "telea" and "navier-stokes"
        are OpenCV's.

    Returns:
      The filled photograph, of the same shape and dtype; only pixels of the hole
      differ.

    Raises:
      RefusedError: An argument breaks a rule above.
      MissingExtraError: The method needs OpenCV, which is not installed.
    """
    check_photograph(photograph)
    check_hole(hole, photograph)
    check_method(method)
    if not hole.any():
        return photograph.copy()
    classic = CLASSIC_FILLS[method]
    part = _surroundings(hole, context=classic.context)
    batch = InpaintingBatch(
        image=from_pixels(to_8_bit_rgb(photograph[part]))[None],
        mask=hole[part][None, ..., None].astype(np.float32),
    )
    result = photograph.copy()
    filled = to_pixels(classic.fill(batch)[0])
    result[part] = put_back(photograph[part], filled, hole[part])
    return result


def check_method(method: str) -> None:
    """Raise if a method is unknown, or its package is not installed."""
    check_choice("method", method, tuple(CLASSIC_FILLS))
    of_opencv = [name for name, classic in CLASSIC_FILLS.items() if classic.of_opencv]
    if method in of_opencv:
        require_opencv(f"The method {method!r}")


def _surroundings(
    hole: Bool[np.ndarray, "h w"], *, context: int | None
) -> tuple[slice, ...]:
    """Return the rows and columns around a hole; without a context, all of them.

    Their lengths are 64, 128, 256, ... or those of the photograph, as every size is
    compiled.
    """
    if context is None:
        return slice(None), slice(None)
    box = box_of(hole, margin=context)
    return tuple(map(_widened, box, hole.shape))


def _widened(part: slice, length: int) -> slice:
    side = _MINIMUM_SIDE
    while side < part.stop - part.start:
        side *= 2
    start = max(0, min((part.start + part.stop - side) // 2, length - side))
    return slice(start, min(start + side, length))
