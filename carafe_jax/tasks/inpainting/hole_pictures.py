"""Reads where the hole is from pictures that people draw."""

import pathlib
from typing import Literal

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageFilter

from carafe_jax.data import open_image, to_rgb, upright
from carafe_jax.errors import RefusedError

HoleColour = Literal["white", "black", "transparent"]

_MOST_GREY = 0.05


def read_hole(
    path: pathlib.Path, *, colour: HoleColour, grow: int = 0
) -> Bool[np.ndarray, "h w"]:
    """Read where the hole is from a picture that shows it.

    Args:
      path: Image file.
      colour: How the picture shows the hole. White and black part at half brightness,
        transparent and opaque at half opacity.
      grow: Pixels by which the hole is made wider on each side, corners included.

    Returns:
      True in the hole.

    Raises:
      RefusedError: The picture does not show a hole in this colour, leaves no pixel, or
        is no mask: more than a twentieth of it is neither near black nor near white.
      UnreadableImageError: The file cannot be read.
    """
    with open_image(path) as file:
        image = upright(file)
        values = _opacity(image) if colour == "transparent" else _brightness(image)
    hole = values >= 128 if colour == "white" else values < 128
    if not hole.any():
        raise RefusedError(
            f"the mask must show a hole in {colour}, got none: its "
            f"{'opacity' if colour == 'transparent' else 'brightness'} goes from "
            f"{values.min()} to {values.max()} of 255"
        )
    if grow:
        grown = (
            Image.fromarray(hole)
            .convert("L")
            .filter(ImageFilter.MaxFilter(2 * grow + 1))
        )
        hole = np.asarray(grown) > 0
    if hole.all():
        raise RefusedError(
            f"the mask must leave pixels to fill from, got {colour} everywhere"
            + (f", grown by {grow} pixels" if grow else "")
        )
    return hole


def _opacity(image: Image.Image) -> np.ndarray:
    if not image.has_transparency_data:
        raise RefusedError(
            "the mask must have transparent pixels for a transparent hole, got "
            f"an image of mode {image.mode}"
        )
    return np.asarray(image.convert("RGBA"))[..., 3]


def _brightness(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data and (_opacity(image) < 255).any():
        raise RefusedError(
            "the mask must be opaque for a white or black hole, got transparent "
            "pixels: is the hole transparent?"
        )
    values = np.asarray(to_rgb(image).convert("L"))
    grey = np.mean((values >= 64) & (values < 192))
    if grey > _MOST_GREY:
        raise RefusedError(
            f"the mask must be black and white, at most {_MOST_GREY:.0%} of it grey, "
            f"got {grey:.0%}: is it a photograph?"
        )
    return values
