"""Files of label maps and overlays, each with a record of all that it depends on."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from carafe_jax.data import UnreadableImageError, open_image
from carafe_jax.files import write_atomically
from carafe_jax.tasks.pictures import (
    check_picture_size,
    readable_scale,
    write_picture,
)
from carafe_jax.tasks.segmentation.prediction import PhotographLabels
from carafe_jax.viz import draw_legend, overlay_label_map

_KEY = "carafe-jax"  # Of the text in a PNG.
_TEXT_FRACTION = 60  # Of the longer side of a picture, per text size.
_SMALLEST_TEXT = 15  # Pixels.

Origin = Mapping[str, Any]
"""All that a file depends on, by name."""


def write_label_map(
    path: pathlib.Path, found: PhotographLabels, *, origin: Origin
) -> None:
    """Write a label map as a PNG with a palette: mode P, its indices are the classes.

    Args:
      path: File to write, atomically.
      found: Label map.
      origin: All that it depends on; `read_origin` returns it.
    """
    text = PngInfo()
    text.add_text(_KEY, json.dumps(origin))
    image = Image.fromarray(found.labels)
    image.putpalette(found.palette.tobytes())
    with write_atomically(path) as partial:
        image.save(partial, "PNG", pnginfo=text)


def write_overlay(
    path: pathlib.Path,
    photograph: UInt8[np.ndarray, "h w 3"],
    found: PhotographLabels,
    *,
    opacity: float,
    origin: Origin,
) -> None:
    """Write a photograph under its label map, with a legend, as a JPEG.

    Args:
      path: File to write, atomically.
      photograph: RGB.
      found: Its label map.
      opacity: Weight of the colours, in [0, 1].
      origin: All that the picture depends on; `read_origin` returns it.

    Raises:
      RefusedError: The picture is too large for a JPEG.
    """
    picture = draw_overlay(photograph, found, opacity=opacity)
    check_picture_size(picture.shape[:2], kept="its label map is written")
    write_picture(path, picture, comment=json.dumps(origin))


def draw_overlay(
    photograph: UInt8[np.ndarray, "h w 3"], found: PhotographLabels, *, opacity: float
) -> UInt8[np.ndarray, "oh ow 3"]:
    """Return a photograph under its label map, with the classes present at its right.

    Small photographs are enlarged for their legends.
    """
    scale = readable_scale(found.labels.shape)
    height, width = (scale * side for side in found.labels.shape)
    enlarged = Image.fromarray(photograph).resize((width, height))
    drawn = overlay_label_map(
        np.asarray(enlarged),
        found.labels.repeat(scale, 0).repeat(scale, 1),
        palette=found.palette,
        opacity=opacity,
    )
    text_size = max(_SMALLEST_TEXT, max(height, width) // _TEXT_FRACTION)
    legend = draw_legend(
        found.labels,
        classes=found.classes,
        palette=found.palette,
        height=max(height, 2 * text_size),  # At least that of a line.
        text_size=text_size,
    )
    below = np.full((len(legend) - height, width, 3), 255, np.uint8)
    return np.concatenate([np.concatenate([drawn, below]), legend], 1)


def read_origin(path: pathlib.Path) -> Origin | None:
    """Return all that a file depends on; None if it is no file of this module."""
    try:
        with open_image(path) as image:
            info: Any = image.info
        found: Any = json.loads(info.get(_KEY) or info.get("comment") or "null")
    except (UnreadableImageError, ValueError):
        return None
    return cast(Origin, found) if isinstance(found, dict) else None
