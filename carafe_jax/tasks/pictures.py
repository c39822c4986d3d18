"""Pictures of results, as JPEGs."""

import math
import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new, write_atomically

_READABLE_SIDE = 600  # Pixels; smaller photographs are enlarged for their labels.
_QUALITY = 92
_LARGEST_SIDE = 65_500  # Of a JPEG.
_SUFFIXES = (".png", ".jpg", ".jpeg")


def readable_scale(size: tuple[int, int]) -> int:
    """Return the factor by which a small photograph is enlarged for its labels."""
    return min(math.ceil(_READABLE_SIDE / max(size)), 8)


def check_picture_path(name: str, path: pathlib.Path) -> None:
    """Raise unless a picture can be written to a path, as a PNG or a JPEG.

    Args:
      name: Name of the argument.
      path: File, which may exist.

    Raises:
      RefusedError: The path has another suffix, or no file can be written to it.
    """
    rule = f"end in {', '.join(_SUFFIXES)}"
    check(name, str(path), rule, holds=path.suffix.lower() in _SUFFIXES)
    check_new(name, path, overwrite=True)


def check_picture_size(size: tuple[int, int], *, kept: str) -> None:
    """Raise if a picture is too large for a JPEG.

    Args:
      size: Height and width, in pixels.
      kept: What is written without the picture, for the error.

    Raises:
      RefusedError: A side is longer than 65,500 pixels.
    """
    if max(size) > _LARGEST_SIDE:
        height, width = size
        raise RefusedError(
            f"its picture cannot be a JPEG of {width} x {height} pixels; {kept}"
        )


def write_picture(
    path: pathlib.Path, pixels: UInt8[np.ndarray, "h w 3"], *, comment: str = ""
) -> None:
    """Write a picture atomically as a JPEG, whose comment is `comment`."""
    with write_atomically(path) as partial:
        # Thin coloured lines would blur with colours of half the resolution.
        Image.fromarray(pixels).save(
            partial,
            "JPEG",
            quality=_QUALITY,
            subsampling="4:4:4",
            comment=comment.encode(),
        )
