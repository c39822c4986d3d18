"""Free-form holes: brush strokes and rectangles, drawn from a seeded generator."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from carafe_jax.arguments import check, check_range
from carafe_jax.errors import RefusedError

# Smaller maps leave no room for a hole and its surroundings.
MINIMUM_SIDE = 8
_DRAWS_BEFORE_FALLBACK = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreeFormHoles:
    """Parameters of free-form holes.

    The strokes follow Algorithm 1 of Free-Form Image Inpainting with Gated
    Convolution (Yu et al., arXiv:1806.03589), with a random first direction instead of
    its random flips; rectangles are added to them. Every pair is the range of a uniform
    distribution, both ends included. Lengths are fractions of the shorter side of the
    image.
    """

    strokes: tuple[int, int] = (1, 3)
    """Number of brush strokes in a hole."""
    vertices: tuple[int, int] = (4, 12)
    """Number of segments of a stroke."""
    turn: tuple[float, float] = (48.0, 96.0)
    """Angle in degrees between a segment and the direction of its stroke, to the left
    and to the right alternately."""
    segment_length: tuple[float, float] = (0.05, 0.3)
    """Length of a segment, as a fraction of the shorter side."""
    brush_width: tuple[float, float] = (0.05, 0.15)
    """Width of a stroke, as a fraction of the shorter side."""
    rectangles: tuple[int, int] = (0, 1)
    """Number of rectangles in a hole."""
    rectangle_side: tuple[float, float] = (0.1, 0.4)
    """Height and width of a rectangle, drawn independently, as fractions of the shorter
    side."""
    rectangle_width: tuple[float, float] | None = None
    """Width of a rectangle, if its distribution differs. None: `rectangle_side`."""
    hole_fraction: tuple[float, float] = (0.05, 0.4)
    """Smallest and largest fraction of the image that is hole, above 0 and below 1;
    holes outside this range are drawn again."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if (ends := getattr(self, field.name)) is not None:
                check_range(field.name, ends)
        if self.strokes[1] + self.rectangles[1] == 0:
            raise RefusedError(
                "`strokes` and `rectangles` must not both be (0, 0): "
                "a hole needs at least one of them."
            )
        rule = "be at least 1 in each stroke"
        holds = self.strokes[1] == 0 or self.vertices[0] >= 1
        check("vertices", self.vertices, rule, holds=holds)
        low, high = self.hole_fraction
        rule = "be two increasing numbers between 0 and 1"
        check("hole_fraction", self.hole_fraction, rule, holds=0.0 < low < high < 1.0)


def free_form_hole(
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
    holes: FreeFormHoles | None = None,
) -> Float32[np.ndarray, "height width 1"]:
    """Draw one hole by the method of Algorithm 1 of arXiv:1806.03589.

    The hole depends only on the state of `rng` and on the arguments. At least one pixel
    is hole and at least one is not. The fraction of the image that is hole is in
    `holes.hole_fraction`; if fifty draws miss that range, the hole is one rectangle
    whose fraction is as near to the middle of the range as whole pixels allow.

    Args:
      rng: Generator of every random choice.
      height: Rows of the image, in pixels, at least 8.
      width: Columns of the image, in pixels, at least 8.
      holes: Number, size and shape of strokes and rectangles; by default those of
        `FreeFormHoles()`.

    Returns:
      1 in the hole, 0 at the pixels that are kept.

    Raises:
      RefusedError: A side is shorter than 8 pixels.
    """
    for name, side in (("height", height), ("width", width)):
        rule = f"be at least {MINIMUM_SIDE}"
        check(name, side, rule, holds=side >= MINIMUM_SIDE)
    holes = FreeFormHoles() if holes is None else holes
    low, high = holes.hole_fraction
    for _ in range(_DRAWS_BEFORE_FALLBACK):
        hole = _draw_hole(rng, (width, height), holes)
        if low <= hole.mean() <= high and 0 < hole.sum() < hole.size:
            break
    else:
        hole = _rectangular_hole(rng, (width, height), (low + high) / 2)
    return hole.astype(np.float32)[..., None]


def _draw_hole(
    rng: np.random.Generator, size: tuple[int, int], holes: FreeFormHoles
) -> np.ndarray:
    canvas = Image.new("L", size)
    draw = ImageDraw.Draw(canvas)
    for _ in range(_integer(rng, holes.strokes)):
        _draw_stroke(draw, rng, holes)
    for _ in range(_integer(rng, holes.rectangles)):
        _draw_rectangle(draw, rng, holes)
    return np.asarray(canvas) > 0


def _draw_stroke(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, holes: FreeFormHoles
) -> None:
    width, height = draw.im.size
    shorter = min(width, height)
    brush = max(1, round(shorter * rng.uniform(*holes.brush_width)))
    heading = rng.uniform(0.0, 2 * math.pi)
    x, y = rng.uniform(0.0, width), rng.uniform(0.0, height)
    points = [(x, y)]
    for vertex in range(_integer(rng, holes.vertices)):
        turn = math.radians(rng.uniform(*holes.turn))
        angle = heading + (turn if vertex % 2 else -turn)
        length = shorter * rng.uniform(*holes.segment_length)
        x = min(max(x + length * math.cos(angle), 0.0), width)
        y = min(max(y + length * math.sin(angle), 0.0), height)
        points.append((x, y))
    draw.line(points, fill=1, width=brush)
    # Discs round the ends and the outer side of every corner.
    for x, y in points:
        draw.circle((x, y), brush / 2, fill=1)


def _draw_rectangle(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, holes: FreeFormHoles
) -> None:
    width, height = draw.im.size
    shorter = min(width, height)
    sides = (holes.rectangle_side, holes.rectangle_width or holes.rectangle_side)
    rows, columns = (
        min(max(round(shorter * rng.uniform(*ends)), 1), side)
        for ends, side in zip(sides, (height, width), strict=True)
    )
    top = int(rng.integers(height - rows + 1))
    left = int(rng.integers(width - columns + 1))
    draw.rectangle((left, top, left + columns - 1, top + rows - 1), fill=1)


def _rectangular_hole(
    rng: np.random.Generator, size: tuple[int, int], fraction: float
) -> np.ndarray:
    width, height = size
    rows, columns = (
        min(max(round(side * math.sqrt(fraction)), 1), side - 1)
        for side in (height, width)
    )
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    hole = np.zeros((height, width), bool)
    hole[top : top + rows, left : left + columns] = True
    return hole


def _integer(rng: np.random.Generator, ends: tuple[int, int]) -> int:
    return int(rng.integers(ends[0], ends[1], endpoint=True))
