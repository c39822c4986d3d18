"""Reading of holes from masks that people draw."""

import logging
import pathlib
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from carafe_jax.data import open_image, to_rgb, to_rgba, upright
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.photograph_files import check_single_image
from carafe_jax.texts import percent, printable

HoleColour = Literal["white", "black", "transparent", "opaque"]

_HALF = 128  # Threshold, of 255, from which values are white or opaque.
_NEAR = 24  # Values within this distance of 0 or 255 are near black or white.
_LEAST_BLACK_OR_WHITE = 0.3  # Fraction of a mask; most photographs have less.
_MOST_HOLE = 0.8  # Larger holes are seldom intended.
_logger = logging.getLogger(__name__)


def read_hole(
    path: pathlib.Path,
    *,
    colour: HoleColour,
    grow: int = 0,
    size: tuple[int, int] | None = None,
) -> Bool[np.ndarray, "h w"]:
    """Read a hole from the mask that marks it.

    Values from 128 of 255 on are white or opaque, those below black or transparent, so
    that soft edges are split in the middle. In a mask with transparent pixels, only the
    paint is white or black: transparent pixels are neither.

    Args:
      path: Image file: colour, grey, 1 bit or 16 bits. Brightness is the luma of ITU-R
        BT.601.
      colour: Pixels that mark the hole: white or black ones; or, in a mask with
        transparent pixels, the transparent or the opaque ones, of any colour.
      grow: Pixels by which the hole is dilated on each side, corners included.
      size: Width and height of the photograph. None: any.

    Returns:
      True in the hole. A hole of more than four fifths is logged as a warning.

    Raises:
      RefusedError: The file cannot be read, or holds several images. The mask has
        another size, marks no hole in this colour, or leaves no pixel. With white or
        black: it is taken for a photograph, as less than three tenths of its pixels are
        within 24 of black or white, and it is not paint of one colour on a transparent
        layer.
    """
    with open_image(path) as file:
        check_single_image(file)
        image = upright(file)
    # Checked first: hints about colours would mislead where the mask is the wrong one.
    if size is not None and image.size != size:
        raise RefusedError(
            "the mask must be as large as the photograph, "
            f"{_size(size)}, got {_size(image.size)}"
        )
    layered = image.has_transparency_data and bool((_opacity(image) < 255).any())
    if colour in ("transparent", "opaque"):
        hole = _by_opacity(image, colour, layered=layered)
    else:
        hole = _by_brightness(image, colour, layered=layered)
    if _MOST_HOLE < hole.mean() < 1:
        _warn_of_large_hole(path, image, hole)
    if grow:
        hole = _grown(hole, grow)
    if hole.all():
        raise RefusedError(
            f"the mask must leave pixels to fill from, got {colour} everywhere"
            + (f", grown by {grow} pixels" if grow else "")
        )
    return hole


def _by_opacity(
    image: Image.Image, colour: HoleColour, *, layered: bool
) -> Bool[np.ndarray, "h w"]:
    if not layered:
        raise RefusedError(
            f"the mask must have transparent pixels for {_with_article(colour)} hole, "
            "got none"
        )
    opaque = _opacity(image) >= _HALF
    hole = opaque if colour == "opaque" else ~opaque
    if not hole.any():
        opacity = _opacity(image)
        raise RefusedError(
            f"the mask must show {_with_article(colour)} hole, got none: its opacity "
            f"ranges from {opacity.min()} to {opacity.max()} of 255"
        )
    return hole


def _by_brightness(
    image: Image.Image, colour: HoleColour, *, layered: bool
) -> Bool[np.ndarray, "h w"]:
    values = _brightness(image, behind="black" if colour == "white" else "white")
    hole = values >= _HALF if colour == "white" else values < _HALF
    if layered:
        visible = _opacity(image) >= _HALF
        if visible.any():
            # Luma of the paint alone, as its soft edges would count as grey.
            paint = np.asarray(to_rgba(image).convert("RGB").convert("L"))
            paint = paint[visible]
            plain = _is_of_one_colour(paint) or _is_black_and_white(paint)
            if not (hole.any() and plain):
                raise RefusedError(_layer_message(colour, paint, visible))
    if not hole.any():
        raise RefusedError(
            f"the mask must show a hole in {colour}, got none: its brightness ranges "
            f"from {values.min()} to {values.max()} of 255"
        )
    if not layered and not _is_black_and_white(values):
        raise RefusedError(
            "the mask must be black and white except for soft edges, got "
            f"{percent(_black_or_white(values))} of it near black or white: is it a "
            "photograph?"
        )
    return hole


def _grown(hole: Bool[np.ndarray, "h w"], pixels: int) -> Bool[np.ndarray, "h w"]:
    """Return a hole dilated by some pixels on each side, corners included."""
    filters = cast(Any, ndimage)  # Untyped.
    for axis, side in enumerate(hole.shape):
        size = 2 * min(pixels, side) + 1
        hole = filters.maximum_filter1d(hole, size, axis, mode="constant")
    return hole


def _black_or_white(values: UInt8[np.ndarray, "*n"]) -> float:
    """Return the fraction of values that are near black or white."""
    return float(np.mean((values <= _NEAR) | (values >= 255 - _NEAR)))


def _is_black_and_white(values: UInt8[np.ndarray, "*n"]) -> bool:
    return _black_or_white(values) >= _LEAST_BLACK_OR_WHITE


def _is_of_one_colour(values: UInt8[np.ndarray, "*n"]) -> bool:
    return bool(np.ptp(np.percentile(values, (5, 95))) <= 2 * _NEAR)


def _layer_message(
    colour: HoleColour, values: np.ndarray, visible: Bool[np.ndarray, "h w"]
) -> str:
    """Return the message for paint on a transparent layer that marks no hole."""
    painted = percent(visible.mean())
    text = f"the mask must show a hole in {colour}"
    if _is_of_one_colour(values):
        return (
            f"{text}, got paint of brightness {np.median(values):.0f} of 255 on a "
            "transparent layer. With --hole opaque, paint of any colour is the hole: "
            f"{painted} of the mask"
        )
    return (
        f"{text}, got an image of many colours with transparent parts. With "
        f"--hole opaque the hole is its visible part, {painted} of it; with --hole "
        f"transparent it is the rest, {percent(1 - visible.mean())}"
    )


def _warn_of_large_hole(
    path: pathlib.Path, image: Image.Image, hole: Bool[np.ndarray, "h w"]
) -> None:
    """Warn, with the value of --hole that comes nearest to the complement."""
    visible = _opacity(image) >= _HALF
    holes: dict[HoleColour, np.ndarray] = {
        "white": _brightness(image, behind="black") >= _HALF,
        "black": _brightness(image, behind="white") < _HALF,
        "transparent": ~visible,
        "opaque": visible,
    }
    opposite = min(holes, key=lambda name: np.sum(holes[name] == hole))
    _logger.warning(
        "%s: the hole is %s of the mask. If it should be the rest, use --hole %s.",
        printable(path),
        percent(hole.mean()),
        opposite,
    )


def _opacity(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(to_rgba(image))[..., 3]


def _brightness(image: Image.Image, *, behind: str) -> UInt8[np.ndarray, "h w"]:
    """Return the luma of an image, with transparent parts on the colour `behind`."""
    if image.has_transparency_data:
        image = to_rgba(image)
        paper = Image.new("RGBA", image.size, behind)
        image = Image.alpha_composite(paper, image)
    return np.asarray(to_rgb(image).convert("L"))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _with_article(colour: HoleColour) -> str:
    return f"an {colour}" if colour == "opaque" else f"a {colour}"
