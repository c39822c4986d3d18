"""Classic fills of batches, without training."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Float32
from skimage import restoration

from carafe_jax.models import spline_fill
from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from carafe_jax.tasks.opencv import require_opencv

_spline_fill: Callable[..., jax.Array] = jax.jit(spline_fill, static_argnames="tension")


def mean_colour(batch: InpaintingBatch) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole with the mean of the given pixels.

    Args:
      batch: Images in [-1, 1], and masks that are 1 in the hole; each image has at
        least one given pixel.

    Returns:
      Images in [-1, 1]; given pixels are unchanged.
    """
    image, mask = batch["image"], batch["mask"]
    # Sums over millions of pixels exceed the precision of float32.
    given = (image * (1 - mask)).sum((1, 2), keepdims=True, dtype=np.float64)
    mean = given / (1 - mask).sum((1, 2), keepdims=True, dtype=np.float64)
    return np.where(mask > 0, mean.astype(np.float32), image)


def biharmonic(batch: InpaintingBatch) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole by solving the biharmonic equation (Chui & Mhaskar 2010).

    Argument and result are those of `mean_colour`.
    """
    pairs = zip(batch["image"], batch["mask"], strict=True)
    fill = cast(Any, restoration).inpaint_biharmonic  # Untyped.
    filled: list[np.ndarray] = [
        fill(
            image * (1 - mask),
            mask[..., 0] > 0,
            channel_axis=-1,
            split_into_regions=True,
        )
        for image, mask in pairs
    ]
    return np.stack(filled).clip(-1, 1).astype(np.float32)


def harmonic(batch: InpaintingBatch) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole by solving Laplace's equation, as a membrane held by its border.

    Argument and result are those of `mean_colour`.
    """
    return _in_tension(batch, tension=1.0)


def spline(batch: InpaintingBatch) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole with the spline in tension that networks can start from.

    Argument and result are those of `mean_colour`.
    """
    return _in_tension(batch)


def _in_tension(
    batch: InpaintingBatch, **fields: float
) -> Float32[np.ndarray, "n h w 3"]:
    filled = _spline_fill(batch["image"], batch["mask"], **fields)
    return np.asarray(filled).clip(-1, 1)


def telea(
    batch: InpaintingBatch, *, radius: float = 5.0
) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole from its border inwards (Telea 2004), with OpenCV.

    Args:
      batch: Images in [-1, 1], and masks that are 1 in the hole; each image has at
        least one given pixel. OpenCV receives 8 bits per channel.
      radius: Radius of the neighbourhood that a pixel is filled from, in pixels.

    Returns:
      Images in [-1, 1]; given pixels are unchanged.

    Raises:
      MissingExtraError: OpenCV is not installed.
    """
    return _by_opencv(batch, "INPAINT_TELEA", radius)


def navier_stokes(
    batch: InpaintingBatch, *, radius: float = 5.0
) -> Float32[np.ndarray, "n h w 3"]:
    """Continue isophotes into each hole (Bertalmio et al. 2001), with OpenCV.

    Arguments, result and errors are those of `telea`.
    """
    return _by_opencv(batch, "INPAINT_NS", radius)


def _by_opencv(
    batch: InpaintingBatch, method: str, radius: float
) -> Float32[np.ndarray, "n h w 3"]:
    cv2 = require_opencv("This fill")
    image, mask = batch["image"], batch["mask"]
    pixels = to_pixels(image)
    holes = (mask[..., 0] > 0).astype(np.uint8)
    filled = [
        cv2.inpaint(picture * (1 - hole[..., None]), hole, radius, getattr(cv2, method))
        for picture, hole in zip(pixels, holes, strict=True)
    ]
    return np.where(mask > 0, from_pixels(np.stack(filled)), image)


ClassicMethod = Literal[
    "mean-colour", "harmonic", "biharmonic", "spline", "telea", "navier-stokes"
]


class ClassicFill(NamedTuple):
    """A fill without training."""

    title: str
    """Title in tables."""
    fill: Callable[..., Float32[np.ndarray, "n h w 3"]]
    """Function that fills a batch; those of OpenCV also take a `radius`."""
    context: int | None = 32
    """Margin around the hole, in pixels, that `fill_classic` fills it from. Pixels
    farther away change harmonic and spline fills by at most one 8-bit level in holes up
    to 192 pixels wide, and by a few in larger ones. They change biharmonic fills only
    through the range of colours that these are clipped to, and those of OpenCV not at
    all. None: the fill needs the whole photograph."""
    of_opencv: bool = False


CLASSIC_FILLS: dict[ClassicMethod, ClassicFill] = {
    "mean-colour": ClassicFill("mean colour", mean_colour, context=None),
    "harmonic": ClassicFill("harmonic", harmonic),
    "biharmonic": ClassicFill("biharmonic", biharmonic),
    "spline": ClassicFill("spline", spline),
    "telea": ClassicFill("Telea", telea, of_opencv=True),
    "navier-stokes": ClassicFill("Navier-Stokes", navier_stokes, of_opencv=True),
}
