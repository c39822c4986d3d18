"""Composition of objects on textured backgrounds, with the mask of each."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import skimage.color
import skimage.data
from jaxtyping import Bool
from PIL import Image, ImageEnhance

from experiments.scenes.cutouts import Cutout

_PHOTOGRAPHS = {
    "brick": "brick",
    "grass": "grass",
    "gravel": "gravel",
    "stars": "hubble_deep_field",
    "tissue": "immunohistochemistry",
    "moon": "moon",
}
BACKGROUNDS = tuple(_PHOTOGRAPHS)
"""Names of the backgrounds."""
_LEAST_VISIBLE = 0.5  # Fraction of an object that others may not cover.


@dataclasses.dataclass(frozen=True)
class SceneObject:
    """An object of a scene."""

    label: int
    """Index of the class."""
    mask: Bool[np.ndarray, "h w"]
    """Visible pixels."""


class Scene(NamedTuple):
    """A picture of known objects."""

    picture: Image.Image
    background: int
    """Index in `BACKGROUNDS`."""
    objects: Sequence[SceneObject]


def load_backgrounds() -> tuple[Image.Image, ...]:
    """Return the photograph of each of `BACKGROUNDS`, RGB."""
    loaded = (getattr(skimage.data, name)() for name in _PHOTOGRAPHS.values())
    return tuple(
        Image.fromarray(x if x.ndim == 3 else skimage.color.gray2rgb(x)).convert("RGB")
        for x in loaded
    )


def compose(
    rng: np.random.Generator,
    cutouts: Sequence[Sequence[Cutout]],
    backgrounds: Sequence[Image.Image],
    *,
    size: tuple[int, int],
    count: int,
) -> Scene:
    """Return a random scene.

    Objects are turned, mirrored, scaled and made lighter or darker. One that would
    cover more than half of another is left out.

    Args:
      rng: Source of the random choices.
      cutouts: Objects of each class.
      backgrounds: Photographs of `BACKGROUNDS` to crop the background from.
      size: Width and height in pixels.
      count: Number of objects to place.
    """
    background = int(rng.integers(len(backgrounds)))
    picture = _cropped(rng, backgrounds[background], size)
    placed: list[tuple[SceneObject, int]] = []
    for _ in range(count):
        of_class = cutouts[int(rng.integers(len(cutouts)))]
        cutout = of_class[int(rng.integers(len(of_class)))]
        turned = _varied(rng, cutout.picture, min(size))
        x, y = (
            int(rng.integers(-side // 6, max(whole - side + side // 6, 1)))
            for side, whole in zip(turned.size, size, strict=True)
        )
        layer = Image.new("RGBA", size)
        layer.paste(turned, (x, y))
        mask = np.asarray(layer)[..., 3] > 127
        left = [(one.mask & ~mask).sum() / area for one, area in placed]
        if not mask.any() or min(left, default=1.0) < _LEAST_VISIBLE:
            continue
        picture = Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
        placed = [
            (dataclasses.replace(one, mask=one.mask & ~mask), area)
            for one, area in placed
        ]
        placed.append((SceneObject(cutout.label, mask), int(mask.sum())))
    return Scene(picture, background, [one for one, _ in placed])


def _cropped(
    rng: np.random.Generator, photograph: Image.Image, size: tuple[int, int]
) -> Image.Image:
    """Return a random part of a photograph, of another brightness."""
    largest = min(a / b for a, b in zip(photograph.size, size, strict=True))
    scale = rng.uniform(0.5, 1.0) * largest
    width, height = (round(scale * side) for side in size)
    x = int(rng.integers(photograph.width - width + 1))
    y = int(rng.integers(photograph.height - height + 1))
    crop = photograph.crop((x, y, x + width, y + height)).resize(size)
    return ImageEnhance.Brightness(crop).enhance(rng.uniform(0.5, 1.1))


def _varied(rng: np.random.Generator, picture: Image.Image, side: int) -> Image.Image:
    """Return an object of another size, turn and brightness."""
    longest = side * rng.uniform(0.2, 0.65)
    factor = longest / max(picture.size)
    sizes = [max(round(factor * x), 4) for x in picture.size]
    picture = picture.resize((sizes[0], sizes[1]))
    if rng.integers(2):
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = picture.rotate(
        rng.uniform(-30, 30), resample=Image.Resampling.BICUBIC, expand=True
    )
    return ImageEnhance.Brightness(turned).enhance(rng.uniform(0.7, 1.2))
