"""Kinds of holes that networks are evaluated on separately."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from carafe_jax.data import FreeFormHoles
from carafe_jax.tasks.inpainting.data import HeldOutExamples

HoleKind = Literal["free-form", "boxes", "strokes"]

TITLES: dict[HoleKind, str] = {
    "free-form": "free-form holes",
    "boxes": "boxes",
    "strokes": "thin strokes",
}

# The size of the holes is set directly, so any fraction of the image is accepted.
_ANY_FRACTION = (1e-6, 1 - 1e-6)


def boxes(*, height: tuple[float, float], width: tuple[float, float]) -> FreeFormHoles:
    """Return parameters of holes of one rectangle, about as large as an object.

    Args:
      height: Smallest and largest height, as fractions of the image's shorter side.
      width: Smallest and largest width, as fractions of the image's shorter side.
    """
    return FreeFormHoles(
        strokes=(0, 0),
        rectangles=(1, 1),
        rectangle_side=height,
        rectangle_width=width,
        hole_fraction=_ANY_FRACTION,
    )


def thin_strokes(*, width: float) -> FreeFormHoles:
    """Return parameters of holes of one or two strokes, like scratches or handwriting.

    Args:
      width: Width of the brush, as a fraction of the image's shorter side.
    """
    return FreeFormHoles(
        strokes=(1, 2),
        rectangles=(0, 0),
        brush_width=(width, width),
        hole_fraction=_ANY_FRACTION,
    )


def with_each_kind(
    examples: HeldOutExamples, kinds: Mapping[HoleKind, FreeFormHoles]
) -> dict[HoleKind, HeldOutExamples]:
    """Return the same test images with the holes of each kind."""
    return {
        kind: dataclasses.replace(
            examples, data=dataclasses.replace(examples.data, masks=holes)
        )
        for kind, holes in kinds.items()
    }
