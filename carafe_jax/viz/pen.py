"""Texts of one size, each on a ground of a colour."""

import dataclasses
import functools
import math
import pathlib
from typing import Any

import numpy as np
from jaxtyping import UInt8

from carafe_jax.extras import import_or_explain
from carafe_jax.viz.colours import Colour, text_colour


@dataclasses.dataclass(frozen=True)
class Pen:
    """Draws texts of one size on a ground of a colour."""

    text_size: int

    def size(self, text: str) -> tuple[int, int]:
        """Return the height and width of a label."""
        width = math.ceil(self._font.getlength(text)) + 2 * self._margin
        return self._bottom - self._top + 2 * self._margin, width

    def draw(self, text: str, ground: Colour) -> UInt8[np.ndarray, "h w 3"]:
        """Return a label."""
        height, width = self.size(text)
        label = import_or_explain("PIL.Image").new("RGB", (width, height), ground)
        import_or_explain("PIL.ImageDraw").Draw(label).text(
            (self._margin, self._margin - self._top),
            text,
            fill=text_colour(ground),
            font=self._font,
        )
        return np.asarray(label)

    @functools.cached_property
    def _font(self) -> Any:
        """A font that has the letters of most alphabets, or else Pillow's own."""
        fonts = import_or_explain("PIL.ImageFont")
        data = pathlib.Path(import_or_explain("matplotlib").get_data_path())
        path = data / "fonts" / "ttf" / "DejaVuSans.ttf"
        # Some distributions ship matplotlib without its fonts.
        if path.exists():
            return fonts.truetype(path, self.text_size)
        return fonts.load_default(self.text_size)

    @property
    def _margin(self) -> int:
        return max(1, self.text_size // 8)

    @functools.cached_property
    def _top(self) -> int:
        return self._font.getbbox("b(")[1]

    @functools.cached_property
    def _bottom(self) -> int:
        return self._font.getbbox("gj(")[3]
