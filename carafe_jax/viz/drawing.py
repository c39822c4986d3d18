"""Plots on the caller's matplotlib axes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from carafe_jax.viz.kernels import tile_kernels
from carafe_jax.viz.sources import strongest_sources

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_sources(
    axes: "Axes",
    image: Float[ArrayLike, "height width 3"],
    weights: Float[ArrayLike, "h w"],
    *,
    pixel: tuple[int, int],
    size: tuple[int, int],
    share: float = 0.8,
) -> None:
    """Draw an output pixel and its strongest sources on an image, as in figure 9.

    The sources are red dots, whose area is proportional to their weight; a green ring
    marks the output pixel.

    Args:
      axes: Axes to draw on.
      image: Image in [0, 1].
      weights: Weights of one pixel from `reassembly_sources`, for a map of any size.
      pixel: Row and column of the output pixel.
      size: Height and width of the output.
      share: Fraction of the total weight; the fewest sources that reach it are drawn.
    """
    image, weights = np.asarray(image), np.asarray(weights)
    source = np.argwhere(strongest_sources(weights, share=share))
    strength = weights[tuple(source.T)]
    sources = _on_image(source, weights.shape, image.shape)
    centre = _on_image(np.array([pixel]), size, image.shape)
    _show_picture(axes, image)
    axes.scatter(
        *sources,
        s=60 * strength / strength.max(),
        color="red",
        linewidths=0,
        alpha=0.8,
    )
    axes.scatter(*centre, s=110, facecolors="none", edgecolors="lime", linewidths=2)


def draw_kernels(
    axes: "Axes", kernels: Float[ArrayLike, "h w taps"], **style: Any
) -> None:
    """Draw the kernels of a region as tiles; black is zero, bright is a large weight.

    Args:
      axes: Axes to draw on.
      kernels: Kernels, as for `tile_kernels`.
      **style: Keyword arguments of matplotlib's `imshow`.
    """
    style = {"cmap": "magma", "vmin": 0, **style}
    _show_picture(axes, np.ma.masked_invalid(tile_kernels(kernels)), **style)


def _show_picture(axes: "Axes", picture: np.ndarray, **style: Any) -> None:
    axes.imshow(picture, interpolation="nearest", **style)
    axes.set_xticks([])
    axes.set_yticks([])


def _on_image(
    pixels: Int[np.ndarray, "p 2"], size: tuple[int, ...], image_size: tuple[int, ...]
) -> Float[np.ndarray, "2 p"]:
    """Return image coordinates x and y of the centres of a map's pixels."""
    growth = np.divide(image_size[:2], size)
    return ((pixels + 0.5) * growth - 0.5).T[::-1]
