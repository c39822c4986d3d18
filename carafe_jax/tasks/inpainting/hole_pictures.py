"""Reads where the hole is from pictures that people draw."""

import logging
import pathlib
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from carafe_jax.data import open_image, to_rgb, to_rgba, upright
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.photograph_files import refuse_several
from carafe_jax.texts import percent, printable

HoleColour = Literal["white", "black", "transparent", "opaque"]

_HALF = 128  # The least value that counts as white or opaque, of 255.
_NEAR = 24  # A value this near to black or white is one of the two.
_LEAST_PLAIN = 0.3  # Of a mask. Most photographs have less of black and white.
_MOST_HOLE = 0.8  # Fewer pixels than a fifth are seldom left on purpose.
_logger = logging.getLogger(__name__)


def read_hole(
    path: pathlib.Path,
    *,
    colour: HoleColour,
    grow: int = 0,
    size: tuple[int, int] | None = None,
) -> Bool[np.ndarray, "h w"]:
    """Read where the hole is from a picture that shows it.

    Values from 128 of 255 on are white or opaque, those below black or transparent, so
    that soft edges are divided in the middle. In a picture with transparent pixels,
    only the paint is white or black: transparent pixels are neither.

    Args:
      path: Image file, in colour, grey, of 1 or 16 bits. Brightness is that of ITU-R
        BT.601.
      colour: What shows the hole: white or black; or, in a picture with transparent
        pixels, those pixels or the opaque ones, whatever their colour.
      grow: Pixels by which the hole is made wider on each side, corners included.
      size: Width and height of the photograph. None: any.

    Returns:
      True in the hole. One of more than four fifths is logged as a warning.

    Raises:
      RefusedError: The file cannot be read, or holds several pictures. The picture
        has another size, does not show a hole in this colour, or leaves no pixel. With
        white or black: it is taken for a photograph, as less than three tenths of its
        pixels are within 24 of black or white, and it is not paint of one colour on a
        transparent layer.
    """
    with open_image(path) as file:
        refuse_several(file)
        image = upright(file)
    # First: a mask of another photograph would get hints about its colour.
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
        _warn_of_much(path, image, hole)
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
            f"the mask must have transparent pixels for {_a(colour)} hole, got none"
        )
    opaque = _opacity(image) >= _HALF
    hole = opaque if colour == "opaque" else ~opaque
    if not hole.any():
        opacity = _opacity(image)
        raise RefusedError(
            f"the mask must show {_a(colour)} hole, got none: its opacity goes from "
            f"{opacity.min()} to {opacity.max()} of 255"
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
            # Of the paint itself, or its soft edges would count as grey.
            paint = np.asarray(to_rgba(image).convert("RGB").convert("L"))
            paint = paint[visible]
            if not hole.any() or not (_is_of_one_colour(paint) or _is_plain(paint)):
                raise RefusedError(_words_on_a_layer(colour, paint, visible))
    if not hole.any():
        raise RefusedError(
            f"the mask must show a hole in {colour}, got none: its brightness goes "
            f"from {values.min()} to {values.max()} of 255"
        )
    if not layered and not _is_plain(values):
        raise RefusedError(
            "the mask must be black and white but for soft edges, got "
            f"{percent(_plain(values))} of it near one of them: is it a photograph?"
        )
    return hole


def _grown(hole: Bool[np.ndarray, "h w"], pixels: int) -> Bool[np.ndarray, "h w"]:
    """Return a hole that is wider by some pixels on each side, corners included."""
    filters = cast(Any, ndimage)  # Without types.
    for axis, side in enumerate(hole.shape):
        size = 2 * min(pixels, side) + 1
        hole = filters.maximum_filter1d(hole, size, axis, mode="constant")
    return hole


def _plain(values: UInt8[np.ndarray, "*n"]) -> float:
    """Return the fraction of values that are near black or white."""
    return float(np.mean((values <= _NEAR) | (values >= 255 - _NEAR)))


def _is_plain(values: UInt8[np.ndarray, "*n"]) -> bool:
    return _plain(values) >= _LEAST_PLAIN


def _is_of_one_colour(values: UInt8[np.ndarray, "*n"]) -> bool:
    return bool(np.ptp(np.percentile(values, (5, 95))) <= 2 * _NEAR)


def _words_on_a_layer(
    colour: HoleColour, values: np.ndarray, visible: Bool[np.ndarray, "h w"]
) -> str:
    """Return the error for paint on a transparent layer that shows no hole."""
    painted = percent(visible.mean())
    text = f"the mask must show a hole in {colour}"
    if _is_of_one_colour(values):
        return (
            f"{text}, got paint of brightness {np.median(values):.0f} of 255 on a "
            "transparent layer. With --hole opaque, paint of any colour is the hole: "
            f"{painted} of the picture"
        )
    return (
        f"{text}, got a picture of many colours that is transparent in places. With "
        f"--hole opaque the hole is what can be seen, {painted} of it; with --hole "
        f"transparent it is the rest, {percent(1 - visible.mean())}"
    )


def _warn_of_much(
    path: pathlib.Path, image: Image.Image, hole: Bool[np.ndarray, "h w"]
) -> None:
    """Name the value of --hole that is nearest to the rest of the picture."""
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
    """Return the brightness, on a colour where the image is transparent."""
    if image.has_transparency_data:
        image = to_rgba(image)
        paper = Image.new("RGBA", image.size, behind)
        image = Image.alpha_composite(paper, image)
    return np.asarray(to_rgb(image).convert("L"))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _a(colour: HoleColour) -> str:
    return f"an {colour}" if colour == "opaque" else f"a {colour}"
