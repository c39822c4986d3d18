"""Objects of a photograph that a view of it shows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from carafe_jax.data import ImageObjects
from carafe_jax.tasks.detection.instance_masks import VisibleMask, visible_masks
from carafe_jax.tasks.detection.trained_objects import trained_objects
from carafe_jax.tasks.detection.views import View, whole_view
from carafe_jax.tasks.image_size import Size


class VisibleObjects(NamedTuple):
    """Objects in a view."""

    boxes: Float64[np.ndarray, "g 4"]
    """x1, y1, x2, y2 in pixels of the view."""
    classes: Int64[np.ndarray, "g"]
    masks: list[VisibleMask]
    """Masks in pixels of the resized image, before flips and turns; none if masks are
    not trained."""


def visible_objects(
    objects: ImageObjects,
    *,
    size: Size,
    resized: Size,
    view: View,
    limit: int,
    masks: bool,
) -> VisibleObjects:
    """Return the objects to train on in a view.

    Boxes are resized by the two ratios of the sides, and clipped to the image, as in
    mmdetection. A crop changes only the objects that it cuts: their box becomes the
    extent of the visible part of their mask, and they are dropped if no pixel of it is
    visible. Without masks it becomes the visible part of their box, and they are
    dropped if a side of that is under 1 pixel.

    Args:
      objects: Objects of the photograph.
      size: Of the photograph.
      resized: Size of the image after resizing.
      view: Of the resized image.
      limit: Largest number of objects; the largest by the area of their boxes are kept.
      masks: Whether to return masks.
    """
    scale = np.array([resized.width / size.width, resized.height / size.height] * 2)
    whole = whole_view(resized).clipped(objects.boxes * scale)
    boxes = view.clipped(whole)
    cut = (boxes != whole).any(-1)
    # A pixel of a mask may be visible where less than one of the box is.
    seen = _sides(boxes) > 0 if masks else _sides(boxes) >= 1
    kept = trained_objects(objects, size, masks=masks) & (~cut | seen.all(-1))
    shown: dict[int, VisibleMask] = {}
    if masks:
        assert objects.masks is not None  # A source without masks is refused before.
        places = np.flatnonzero(kept).tolist()
        encoded = [objects.masks[i] for i in places]
        decoded = visible_masks(encoded, size=size, resized=resized, view=view)
        shown = dict(zip(places, decoded, strict=True))
        for place, mask in shown.items():
            if cut[place]:
                boxes[place] = mask.extent()
        kept &= ~cut | (_sides(boxes) > 0).all(-1)
    places = np.flatnonzero(kept)
    largest = np.argsort(-_sides(boxes[places]).prod(-1), kind="stable")[:limit]
    places = places[np.sort(largest)]
    return VisibleObjects(
        view.of_boxes(boxes[places]),
        objects.classes[places],
        [shown[place] for place in places.tolist()] if masks else [],
    )


def _sides(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2:] - boxes[:, :2]
