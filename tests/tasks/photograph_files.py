"""Photographs in arrays and files, for predictions."""

import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a smooth random photograph."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, 3, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def save(
    path: pathlib.Path, size: tuple[int, int] = (40, 60), seed: int = 0
) -> pathlib.Path:
    """Write such a photograph of a height and width; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph(*size, seed)).save(path)
    return path


def replace(path: pathlib.Path, size: tuple[int, int], seed: int) -> None:
    """Write another photograph to a path, as if a minute later."""
    changed = path.stat().st_mtime_ns + 60 * 10**9
    save(path, size, seed)
    os.utime(path, ns=(changed, changed))


def save_every_kind(
    folder: pathlib.Path, pixels: np.ndarray
) -> Iterator[tuple[pathlib.Path, np.ndarray]]:
    """Yield files of several modes, each with its pixels as upright RGB."""
    grey = np.repeat(pixels[..., :1], 3, -1)
    turned = Image.fromarray(np.rot90(pixels))
    exif = turned.getexif()
    exif[_ORIENTATION] = 6  # To be turned to the right.
    files = {
        "plain.png": (Image.fromarray(pixels), {}, pixels),
        "grey.png": (Image.fromarray(grey[..., 0]), {}, grey),
        "alpha.png": (Image.fromarray(pixels).convert("RGBA"), {}, pixels),
        "turned.png": (turned, {"exif": exif}, pixels),
    }
    for name, (image, options, expected) in files.items():
        image.save(folder / name, **options)
        yield folder / name, expected


def files_of(folder: pathlib.Path) -> set[str]:
    """Return the relative paths of all files below a folder."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }
