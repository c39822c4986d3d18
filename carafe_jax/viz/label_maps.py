"""Label maps in colour, alone, over their photographs and with a legend."""

from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import UInt8

from carafe_jax.arguments import (
    check,
    check_count,
    check_integer_types,
    check_up_to_1,
    is_count,
)
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.texts import printable
from carafe_jax.viz.colours import BLACK, Colour
from carafe_jax.viz.pen import Pen

_IGNORED = 255
_MOST_CLASSES = 255
Palette = UInt8[np.ndarray, "k 3"]


@no_type_check
def default_palette(count: int) -> Palette:
    """Return the colours of the first classes of PASCAL VOC's palette, without black.

    The bits of the class number, from the least significant on, are the bits of red,
    green and blue, from the most significant on. All colours differ.

    Args:
      count: Number of classes, in [1, 255].

    Returns:
      RGB of each class.

    Raises:
      RefusedError: The number of classes is another value.
    """
    check_integer_types("count", count, [count])
    rule = f"be an int in [1, {_MOST_CLASSES}]"
    check("count", count, rule, holds=is_count(count) and count <= _MOST_CLASSES)
    numbers = np.arange(1, count + 1)  # VOC's number 0 is black.
    channels = [
        sum((numbers >> 3 * bit + channel & 1) << 7 - bit for bit in range(3))
        for channel in range(3)
    ]
    return np.stack(channels, -1).astype(np.uint8)


@no_type_check
def colour_label_map(
    labels: UInt8[np.ndarray, "h w"], *, palette: Palette | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a label map in colour; ignored pixels are black.

    Args:
      labels: Indices of classes; 255 at ignored pixels.
      palette: RGB of each class. None: `default_palette`.

    Raises:
      RefusedError: The label map has a wrong shape or type, or a label without colour.
    """
    labels = _checked_labels(labels)
    colours = default_palette(_MOST_CLASSES) if palette is None else palette
    colours = _checked_palette(colours)
    known = labels[labels != _IGNORED]
    if known.size and known.max() >= len(colours):
        raise RefusedError(
            f"`labels` must be below {len(colours)}, the number of colours, or 255, "
            f"got {known.max()}."
        )
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    table[_IGNORED] = BLACK
    return table[labels]


@no_type_check
def overlay_label_map(
    photograph: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    *,
    palette: Palette | None = None,
    opacity: float = 0.6,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a photograph under the colours of its label map.

    Args:
      photograph: RGB; it is not changed.
      labels: Indices of classes; 255 at ignored pixels.
      palette: RGB of each class. None: `default_palette`.
      opacity: Weight of the colours, in [0, 1]; 1 hides the photograph.

    Raises:
      RefusedError: An argument is wrong, as in `colour_label_map`.
    """
    check_up_to_1("opacity", opacity)
    colours = colour_label_map(labels, palette=palette)
    photograph = np.asarray(photograph)
    if photograph.dtype != np.uint8 or photograph.shape != colours.shape:
        raise RefusedError(
            f"`photograph` must be uint8 of shape {colours.shape}, as its labels, got "
            f"{photograph.dtype} of shape {photograph.shape}."
        )
    mixed = (1 - opacity) * photograph + opacity * colours
    return np.rint(mixed).astype(np.uint8)


@no_type_check
def draw_legend(
    labels: UInt8[np.ndarray, "h w"],
    *,
    classes: Sequence[str],
    palette: Palette | None = None,
    height: int,
    text_size: int = 15,
) -> UInt8[np.ndarray, "{height} w 3"]:
    """Return the names of the classes of a label map, each on its colour.

    Classes with more pixels come first, from top to bottom, in as many columns as the
    height needs; ignored pixels are named "ignored".

    Args:
      labels: Indices of classes; 255 at ignored pixels.
      classes: Names of all classes.
      palette: RGB of each class. None: `default_palette`.
      height: Height of the legend, in pixels, at least that of a line.
      text_size: Size of the text, in pixels.

    Returns:
      RGB on white.

    Raises:
      RefusedError: An argument is wrong, as in `colour_label_map`, the label map has no
        pixel, or a label has no name.
      MissingExtraError: Pillow or matplotlib is not installed.
    """
    labels = _checked_labels(labels)
    check("labels", labels.shape, "have at least one pixel", holds=labels.size > 0)
    check_count("text_size", text_size)
    check_count("height", height)
    pen = Pen(text_size)
    line, _ = pen.size("")
    check("height", height, f"be at least {line}, of a line", holds=height >= line)
    counts = np.bincount(labels.ravel(), minlength=256)
    present = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    unnamed = [label for label in present if len(classes) <= label != _IGNORED]
    if unnamed:
        raise RefusedError(
            f"`classes` must name every label, got {len(classes)} names and the label "
            f"{max(unnamed)}."
        )
    colours = colour_label_map(np.array([present], np.uint8), palette=palette)[0]
    entries = [
        pen.draw(
            "ignored" if label == _IGNORED else printable(classes[label]),
            Colour(*colour.tolist()),
        )
        for label, colour in zip(present, colours, strict=True)
    ]
    gap = max(1, text_size // 4)
    lines = (height + gap) // (line + gap)
    columns = [
        entries[start : start + lines] for start in range(0, len(entries), lines)
    ]
    return np.concatenate([_column(each, gap, height) for each in columns], 1)


def _column(
    entries: Sequence[UInt8[np.ndarray, "_ _ 3"]], gap: int, height: int
) -> UInt8[np.ndarray, "height w 3"]:
    width = max(entry.shape[1] for entry in entries) + gap
    column = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for entry in entries:
        column[top : top + entry.shape[0], : width - gap] = entry[:1, :1]
        column[top : top + entry.shape[0], : entry.shape[1]] = entry
        top += entry.shape[0] + gap
    return column


@no_type_check
def _checked_labels(labels: ArrayLike) -> UInt8[np.ndarray, "h w"]:
    labels = np.asarray(labels)
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise RefusedError(
            "`labels` must be uint8 of shape (h, w), got "
            f"{labels.dtype} of shape {labels.shape}."
        )
    return labels


@no_type_check
def _checked_palette(palette: ArrayLike) -> Palette:
    palette = np.asarray(palette)
    if (
        palette.dtype != np.uint8
        or palette.ndim != 2
        or palette.shape[1] != 3
        or not 1 <= len(palette) <= _MOST_CLASSES
    ):
        raise RefusedError(
            f"`palette` must be uint8 of shape (k, 3), k in [1, {_MOST_CLASSES}], got "
            f"{palette.dtype} of shape {palette.shape}."
        )
    return palette
