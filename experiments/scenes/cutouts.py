"""Objects cut out of photographs that ship with scikit-image."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import skimage.data
import skimage.filters
import skimage.measure
import skimage.segmentation
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw
from scipy import ndimage

CLASSES = ("coin", "cup", "horse", "rocket")


@dataclasses.dataclass(frozen=True)
class Cutout:
    """A picture of one object."""

    label: int
    """Index in `CLASSES`."""
    picture: Image.Image
    """RGBA, cropped to the object; transparent outside of it."""


def make_cutouts() -> tuple[Cutout, ...]:
    """Return a cup, a horse, a rocket and the coins of a museum."""
    return (*_coins(), _cup(), _horse(), _rocket())


def _coins() -> Iterator[Cutout]:
    """Segment the coins with a watershed on their edges."""
    grey = skimage.data.coins()
    markers = np.zeros_like(grey, np.int32)
    markers[grey < 30], markers[grey > 150] = 1, 2
    filled = skimage.segmentation.watershed(skimage.filters.sobel(grey), markers) == 2
    labels = skimage.measure.label(ndimage.binary_fill_holes(filled))
    for region in skimage.measure.regionprops(labels):
        if region.area > 500:  # Smaller parts are scratches and noise.
            rgb = np.repeat(grey[region.slice][..., None], 3, -1)
            yield _cutout("coin", rgb, region.image)


def _cup() -> Cutout:
    rgb = skimage.data.coffee()
    mask = Image.new("1", rgb.shape[1::-1])
    draw = ImageDraw.Draw(mask)
    draw.ellipse((78, 80, 480, 386), fill=1)  # The saucer.
    draw.ellipse((172, 17, 405, 208), fill=1)  # The rim of the cup.
    return _cutout("cup", rgb, np.asarray(mask))


def _horse() -> Cutout:
    """Give the silhouette of a horse the fur of a cat."""
    mask = ~np.asarray(skimage.data.horse(), bool)
    fur = Image.fromarray(skimage.data.chelsea()).crop((20, 0, 170, 130))
    return _cutout("horse", np.asarray(fur.resize(mask.shape[::-1])), mask)


def _rocket() -> Cutout:
    rgb = skimage.data.rocket()
    mask = Image.new("1", rgb.shape[1::-1])
    outline = (321, 126), (331, 146), (335, 180), (333, 398), (311, 398), (309, 180)
    ImageDraw.Draw(mask).polygon((*outline, (312, 146)), fill=1)
    return _cutout("rocket", rgb, np.asarray(mask))


def _cutout(
    name: str, rgb: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]
) -> Cutout:
    alpha = (255 * mask).astype(np.uint8)[..., None]
    picture = Image.fromarray(np.concatenate([rgb, alpha], -1), "RGBA")
    return Cutout(CLASSES.index(name), picture.crop(picture.getbbox()))
