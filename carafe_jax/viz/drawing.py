"""Pictures on axes of matplotlib, which the caller brings."""

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
    """Draw a pixel and its strongest sources on a photograph, as in figure 9.

    The sources are red dots, the larger the more they weigh; a green ring is at the
    output pixel.

    Args:
      axes: Where to draw.
      image: In [0, 1].
      weights: One row of `reassembly_sources`: of a map of any size that shows the
        image.
      pixel: Row and column of the output pixel.
      size: Height and width of the output that it is a pixel of.
      share: The fewest sources that hold this share of the weight are drawn.
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
    """Draw the kernels of a region as tiles; black is zero, light is a large weight.

    Args:
      axes: Where to draw.
      kernels: As for `tile_kernels`.
      **style: Passed to matplotlib's `imshow`.
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
    """Return x and y of the centres of a map's pixels on an image that it shows."""
    growth = np.divide(image_size[:2], size)
    return ((pixels + 0.5) * growth - 0.5).T[::-1]
