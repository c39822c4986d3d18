"""A picture of the lattices in fills and in the truth."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32
from matplotlib.figure import Figure

from carafe_jax.metrics import lattice_map, to_unit_range
from carafe_jax.tasks.inpainting.data import InpaintingBatch

_INCHES = 2.1


def draw_lattices(
    path: pathlib.Path,
    truth: InpaintingBatch,
    *,
    filled: Mapping[str, Float32[np.ndarray, "n h w 3"]],
    periods: Sequence[int],
) -> None:
    """Draw pictures, and the lattices round each of their pixels.

    A row for each picture; a column for the pictures of each method and of the truth,
    each followed by one for each period. The border of the hole is drawn in white.

    Args:
      path: Of the PNG file.
      truth: Images in [-1, 1] and their masks.
      filled: Filled images in [-1, 1], by the name of their method.
      periods: In pixels.
    """
    pictures = {**filled, "truth": truth["image"]}
    maps = {
        (method, period): _root_mean_square(images, period)
        for method, images in pictures.items()
        for period in periods
    }
    # One colour range per period, up to the 99.5th percentile, so that methods can be
    # compared.
    most = {
        period: np.nanpercentile([maps[method, period] for method in pictures], 99.5)
        for period in periods
    }
    rows, columns = len(truth["image"]), len(pictures) * (1 + len(periods))
    figure = Figure(
        figsize=(_INCHES * columns, _INCHES * rows + 0.9), layout="constrained"
    )
    # The last row is that of the colour bars.
    axes: Any = figure.subplots(
        rows + 1, columns, squeeze=False, height_ratios=[1] * rows + [0.06]
    )
    panels, bars = iter(axes[:-1].T), iter(axes[-1])
    for method, images in pictures.items():
        shown = np.asarray(to_unit_range(images))
        _draw_column(next(panels), shown, truth["mask"], title=method)
        next(bars).set_axis_off()
        for period in periods:
            drawn = _draw_column(
                next(panels),
                maps[method, period],
                truth["mask"],
                title=f"lattice of {period} px",
                cmap="magma",
                vmin=0,
                vmax=most[period],
            )
            figure.colorbar(
                drawn, cax=next(bars), orientation="horizontal", label="RMS, of 255"
            )
    figure.savefig(path, dpi=100)


def _root_mean_square(
    images: Float32[np.ndarray, "n h w 3"], period: int
) -> Float32[np.ndarray, "n h w"]:
    everywhere = np.ones((*images.shape[:3], 1), np.float32)
    energy = lattice_map(to_unit_range(images), everywhere, period=period)
    return 255 * np.sqrt(np.asarray(energy))


def _draw_column(
    panels: Sequence[Any],
    pictures: np.ndarray,
    masks: np.ndarray,
    *,
    title: str,
    **style: Any,
) -> Any:
    """Draw one picture in each panel, and return the last."""
    panels[0].set_title(title, fontsize=10)
    drawn = None
    for panel, picture, mask in zip(panels, pictures, masks, strict=True):
        drawn = panel.imshow(picture, interpolation="nearest", **style)
        panel.contour(mask[..., 0], levels=[0.5], colors="white", linewidths=0.8)
        panel.set_facecolor("0.7")  # Where nothing is measured.
        panel.set_xticks([])
        panel.set_yticks([])
    return drawn
