"""Folders of images and label maps for tests."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from carafe_jax.data import SegmentedImages

CLASSES = "0 sky 1 2 3\n2 tall tree 40 50 60\n\n# none\n7 Unlabelled 0 0 0\n"
VALUES = ((0, 2, 7), (2, 255, 0))


def save_labels(path: pathlib.Path, values: Any = VALUES, **options: Any) -> None:
    """Write a label map of 8 bits, as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path, **options)


def save_image(path: pathlib.Path, size: tuple[int, int] = (3, 2), **options) -> None:
    """Write an image of a width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "white").save(path, **options)


def write_split(
    root: pathlib.Path,
    names: Sequence[str] = ("a", "b"),
    *,
    split: str = "train",
    values: Any = VALUES,
    classes: str | None = CLASSES,
) -> pathlib.Path:
    """Write images with label maps of one split, and the list of classes."""
    for name in names:
        size = np.array(values).shape[::-1]
        save_image(root / split / "images" / f"{name}.jpg", size)
        save_labels(root / split / "labels" / f"{name}.png", values)
    if classes is not None:
        (root / "classes.txt").write_text(classes)
    return root


def found(images: SegmentedImages) -> dict[str, str]:
    """Return the findings: text and examples by treatment, joined."""
    return {
        treatment: "; ".join(map(str, images.findings.of(treatment)))
        for treatment in ("dropped", "mended", "kept")
        if images.findings.of(treatment)
    }
