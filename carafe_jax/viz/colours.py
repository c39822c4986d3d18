"""Colours that differ from each other and are visible on dark and bright ground."""

import colorsys
from typing import NamedTuple

import numpy as np

_GOLDEN_RATIO = 0.618033988749895
# Relative luminances (WCAG 2) with a contrast of at least 2.6 to white and 4 to black.
_LUMINANCES = (0.28, 0.16, 0.35)


class Colour(NamedTuple):
    """A colour in 8-bit RGB."""

    red: int
    green: int
    blue: int

    @property
    def luminance(self) -> float:
        """Relative luminance: 0 for black, 1 for white (WCAG 2)."""
        return _luminance(_to_linear(np.array(self) / 255))


BLACK = Colour(0, 0, 0)
WHITE = Colour(255, 255, 255)


def distinct_colour(index: int, *, shade: int = 0) -> Colour:
    """Return one of an endless list of saturated colours of medium luminance.

    Hues are multiples of the golden ratio, so that those of the first few differ most.

    Args:
      index: Position in the list, from 0.
      shade: Position in the luminances of this hue, which repeat.
    """
    hue = colorsys.hsv_to_rgb(index * _GOLDEN_RATIO % 1, 1, 1)
    linear = _to_linear(np.array(hue))
    wanted = _LUMINANCES[(index + shade) % len(_LUMINANCES)]
    luminance = _luminance(linear)
    if luminance > wanted:
        linear *= wanted / luminance
    else:
        linear += (1 - linear) * (wanted - luminance) / (1 - luminance)
    red, green, blue = np.rint(255 * _from_linear(linear)).astype(int).tolist()
    return Colour(red, green, blue)


def text_colour(ground: Colour) -> Colour:
    """Return black or white, whichever has the higher contrast to the ground."""
    luminance = ground.luminance
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE


def _luminance(linear: np.ndarray) -> float:
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def _to_linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _from_linear(linear: np.ndarray) -> np.ndarray:
    high = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, high)
