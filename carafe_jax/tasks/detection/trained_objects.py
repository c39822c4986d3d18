"""Objects and photographs that take part in training, by mmdetection's rules."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from carafe_jax.data import AnnotatedImages, ImageObjects
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.image_size import Size
from carafe_jax.texts import counted

_LEAST_SIDE = 32


def trained_objects(
    objects: ImageObjects, size: Size, *, masks: bool
) -> Bool[np.ndarray, "g"]:
    """Return which objects are trained.

    Crowds are not, nor objects that have a side under 1 pixel, no area, no overlap with
    the photograph, or no mask of their own where masks are trained.

    Args:
      objects: Objects of a photograph.
      size: Of the photograph.
      masks: Whether masks are trained.
    """
    x1, y1, x2, y2 = objects.boxes.T
    trained = ~objects.crowd & (objects.areas > 0)
    trained &= (x2 - x1 >= 1) & (y2 - y1 >= 1)
    trained &= (x2 > 0) & (y2 > 0) & (x1 < size.width) & (y1 < size.height)
    return trained & objects.masked if masks else trained


@dataclasses.dataclass(frozen=True)
class TrainingPhotographs:
    """Photographs of a source that take part in training."""

    indices: Int64[np.ndarray, "n"]
    counts: Int64[np.ndarray, "n"]
    """Trained objects of each photograph."""
    without_objects: int
    """Number of photographs that are left out because no object of them is trained."""
    small: int
    """Number of photographs that are left out for a side under 32 pixels."""

    @property
    def left_out(self) -> str | None:
        """Description of the photographs that are left out; None if there are none."""
        if not self.without_objects and not self.small:
            return None
        return _left_out(self.without_objects, self.small)

    @property
    def largest_count(self) -> int:
        """Largest number of objects of a photograph."""
        return int(self.counts.max())

    def excess(self, limit: int) -> "Excess":
        """Return what exceeds a number of objects per photograph."""
        above = self.counts[self.counts > limit]
        return Excess(len(above), int((above - limit).sum()))


class Excess(NamedTuple):
    """Objects beyond the largest number for a photograph."""

    photographs: int
    objects: int


def training_photographs(
    images: AnnotatedImages, *, masks: bool
) -> TrainingPhotographs:
    """Select the photographs that take part in training.

    Those without objects, and those with a side under 32 pixels, are left out.

    Args:
      images: Training split of a source.
      masks: Whether masks are trained.

    Raises:
      RefusedError: No photograph is left.
    """
    kept, counts, small, empty = [], [], 0, 0
    for index in range(len(images)):
        size = Size(*images.size(index))
        objects = images.objects(index, masks=False)
        count = int(trained_objects(objects, size, masks=masks).sum())
        if min(size) < _LEAST_SIDE:
            small += 1
        elif not count:
            empty += 1
        else:
            kept.append(index)
            counts.append(count)
    if not kept:
        raise RefusedError(
            "`source` must have training photographs with objects, got "
            f"{counted(len(images), 'photograph')}: {_left_out(empty, small)}."
        )
    return TrainingPhotographs(
        np.array(kept, np.int64), np.array(counts, np.int64), empty, small
    )


def check_training_objects(
    images: AnnotatedImages, trained: TrainingPhotographs, *, limit: int
) -> None:
    """Raise if a training photograph has more objects than the limit.

    Args:
      images: Training split of a source.
      trained: Its photographs that take part in training.
      limit: Largest number of objects of a photograph, `max_objects`.

    Raises:
      RefusedError: There is such a photograph.
    """
    excess = trained.excess(limit)
    if excess.photographs:
        name = images.name(int(trained.indices[trained.counts.argmax()]))
        raise RefusedError(
            f"`max_objects` must be at least {trained.largest_count}, the number of "
            f"objects in {name!r}, got {limit}; "
            f"{counted(excess.photographs, 'training photograph')} exceed it. Raise "
            "it, which takes memory for each object, or set `truncate_objects` to "
            "train on the largest objects."
        )


def check_test_objects(images: AnnotatedImages) -> None:
    """Raise if no photograph of a test set has an object that is no crowd.

    Args:
      images: Test split of a source.

    Raises:
      RefusedError: There is none, so that there is no average precision.
    """
    crowds = (images.objects(index, masks=False).crowd for index in range(len(images)))
    if all(crowd.all() for crowd in crowds):
        raise RefusedError(
            "`source` must have test photographs with objects, without which there is "
            f"no average precision, got {counted(len(images), 'photograph')} with none."
        )


def _left_out(empty: int, small: int) -> str:
    return (
        f"{counted(empty, 'photograph')} without objects to train on and {small} with "
        f"a side under {_LEAST_SIDE} pixels"
    )
