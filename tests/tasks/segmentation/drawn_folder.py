"""A folder of drawn pictures with label maps."""

import pathlib

import numpy as np
from PIL import Image

CLASSES = ("sky", "grass", "car", "boat")
"""Classes of the folder. No picture has a boat."""
_CLASSES_FILE = "0 sky 0 0 250\n1 grass 0 250 0\n2 car 250 0 0\n3 boat 9 9 9\n"
_COLOURS = np.array([[90, 90, 210], [60, 190, 60], [220, 60, 60]], np.uint8)


def drawn_folder(
    root: pathlib.Path,
    *,
    train: int = 4,
    val: int = 3,
    test: int = 0,
    size: tuple[int, int] = (40, 56),
    classes: str = _CLASSES_FILE,
) -> pathlib.Path:
    """Write pictures of the sky over grass with a car, and their label maps.

    The lowest rows have no label.
    """
    rng = np.random.default_rng(0)
    for split, count in {"train": train, "val": val, "test": test}.items():
        for kind in ("images", "labels") if count else ():
            (root / split / kind).mkdir(parents=True)
        for index in range(count):
            labels = _draw(rng, size)
            pixels = _COLOURS[np.minimum(labels, 2)] + rng.integers(0, 30, (*size, 3))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(root / split / "images" / f"{index}.png")
            Image.fromarray(labels).save(root / split / "labels" / f"{index}.png")
    (root / "classes.txt").write_text(classes)
    return root


def _draw(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    labels = np.zeros(size, np.uint8)
    labels[height // 2 :] = 1
    x, y = rng.integers(4, (width // 2, height // 2))
    labels[y : y + height // 3, x : x + width // 3] = 2
    labels[height - 3 :] = 255
    return labels
