"""Kinds of holes, on each of which a network is measured separately."""

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

# Holes have the requested size, so no share of the picture is refused.
_ANY_SHARE = (1e-6, 1 - 1e-6)


def boxes(*, height: tuple[float, float], width: tuple[float, float]) -> FreeFormHoles:
    """Return holes of one rectangle, about as large as an object.

    Args:
      height: Least and most, as fractions of the shorter side of the picture.
      width: Likewise.
    """
    return FreeFormHoles(
        strokes=(0, 0),
        rectangles=(1, 1),
        rectangle_side=height,
        rectangle_width=width,
        hole_share=_ANY_SHARE,
    )


def thin_strokes(*, width: float) -> FreeFormHoles:
    """Return holes of one or two brush strokes, as of scratches and of writing.

    Args:
      width: Of the brush, as a fraction of the shorter side of the picture.
    """
    return FreeFormHoles(
        strokes=(1, 2),
        rectangles=(0, 0),
        brush_width=(width, width),
        hole_share=_ANY_SHARE,
    )


def with_each_kind(
    examples: HeldOutExamples, kinds: Mapping[HoleKind, FreeFormHoles]
) -> dict[HoleKind, HeldOutExamples]:
    """Return the same test pictures with the holes of each kind."""
    return {
        kind: dataclasses.replace(
            examples, data=dataclasses.replace(examples.data, masks=holes)
        )
        for kind, holes in kinds.items()
    }
