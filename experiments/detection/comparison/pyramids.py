"""Feature pyramids as pictures: P2 to P5 of several networks (figure 6)."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from carafe_jax.models.detection.settings import STRIDES
from carafe_jax.tasks.detection import TrainedDetector
from carafe_jax.tasks.detection.data import prepare_photograph
from carafe_jax.tasks.detection.device_batch import normalised_images

_LEVELS = ("P2", "P3", "P4", "P5")
_INCHES = 2.2  # Width of a column. All lengths are in inches.
_GAP = 0.08  # Between columns and between rows.
_TEXT = 0.25  # Height of a line.
_BAR = 0.06  # Height of a colour bar, in widths of a column.
_TALLEST = 2.0  # Height of a row, in widths of a column.

Maps = tuple[Float[np.ndarray, "_ _"], ...]
"""A map for each of P2 to P5."""


def activation_maps(
    detector: TrainedDetector, photographs: Sequence[UInt8[np.ndarray, "h w 3"]]
) -> list[Maps]:
    """Return the activation of P2 to P5 at each pixel, for each photograph.

    The activation is the root mean square over the channels, divided by its mean over
    the map, so that networks whose features have other magnitudes can be compared.

    Args:
      detector: Trained network; photographs are resized as it detects objects in them.
      photographs: RGB.

    Returns:
      Maps of the levels, without padding.
    """
    extract = jax.jit(functools.partial(detector.network.apply, method="extract"))
    maps: list[Maps] = []
    for photograph in photographs:
        example = prepare_photograph(photograph, detector.data)
        image, size = jnp.asarray(example["image"]), example["image_size"]
        images = normalised_images(
            image[None], jnp.asarray(size)[None], dtype=detector.dtype
        )
        levels: Any = jax.device_get(extract(detector.variables, images))
        maps.append(
            tuple(
                _activation(level[0].astype(np.float32), -(-size // stride))
                for level, stride in zip(levels[:4], STRIDES, strict=False)
            )
        )
    return maps


def _activation(
    level: Float[np.ndarray, "h w c"], size: np.ndarray
) -> Float[np.ndarray, "_ _"]:
    height, width = size.tolist()
    activation = np.sqrt((level[:height, :width] ** 2).mean(-1))
    # A map of zeros stays one.
    return activation / max(float(activation.mean()), np.finfo(np.float32).tiny)


def draw_pyramids(
    pictures: Mapping[str, Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    maps: Mapping[str, Sequence[Maps]],
) -> Figure:
    """Draw P2 to P5 of several networks; those of a photograph are below each other.

    Each level has one colour scale.

    Args:
      pictures: Picture of each photograph, to be drawn left of its maps, by the name
        of the network.
      maps: Activations of each photograph, by the name of the network.
    """
    count = len(next(iter(maps.values())))
    rows = list(itertools.product(range(count), maps))
    heights = [_height(pictures[name][index]) for index, name in rows]
    figure = Figure(
        figsize=(
            (_INCHES + _GAP) * (1 + len(_LEVELS)) + _TEXT,
            _INCHES * (sum(heights) + _BAR) + _GAP * (1 + len(rows)) + 3 * _TEXT,
        ),
        layout="constrained",
    )
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=_GAP / 2, h_pad=_GAP / 2, wspace=0, hspace=0)
    # The last row is that of the colour bars.
    axes: Any = figure.subplots(
        len(rows) + 1, 1 + len(_LEVELS), squeeze=False, height_ratios=[*heights, _BAR]
    )
    most = [
        np.percentile(np.concatenate([x[level].ravel() for x in _all(maps)]), 99.5)
        for level in range(len(_LEVELS))
    ]
    for line, (index, name) in zip(axes[:-1], rows, strict=True):
        line[0].set_ylabel(name, fontsize=10)
        line[0].imshow(pictures[name][index])
        for axis, level, largest in zip(line[1:], maps[name][index], most, strict=True):
            axis.imshow(
                level, cmap="magma", vmin=0, vmax=largest, interpolation="nearest"
            )
        for axis in line:
            axis.set(xticks=[], yticks=[])
    for axis, bar in zip(axes[-2][1:], axes[-1][1:], strict=True):
        figure.colorbar(axis.images[0], cax=bar, orientation="horizontal")
    for axis, title in zip(axes[0], ("", *_LEVELS), strict=True):
        axis.set_title(title, fontsize=10)
    axes[-1][0].set_axis_off()
    figure.supxlabel("RMS of the channels, divided by its mean over the map", size=10)
    return figure


def _height(picture: np.ndarray) -> float:
    return min(picture.shape[0] / picture.shape[1], _TALLEST)


def _all(maps: Mapping[str, Sequence[Maps]]) -> list[Maps]:
    return [x for each in maps.values() for x in each]
