"""Boxes, masks and labels of objects, drawn on a photograph."""

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, UInt8

from carafe_jax.arguments import check, check_integer_types, is_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.extras import import_or_explain
from carafe_jax.texts import printable
from carafe_jax.viz.colours import Colour, distinct_colour
from carafe_jax.viz.labels import draw_labels
from carafe_jax.viz.shapes import Stroke, draw_box, draw_mask


@runtime_checkable
class Masks(Protocol):
    """Boolean masks, an array of shape (d, h, w) or a sequence of such of (h, w)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@no_type_check
def draw_detections(
    photograph: UInt8[ArrayLike, "h w 3"],
    boxes: Float[ArrayLike, "d 4"] | Sequence[Sequence[float]],
    *,
    labels: Sequence[str],
    scores: Float[ArrayLike, "d"] | Sequence[float] | None = None,
    masks: Masks | None = None,
    classes: Sequence[str] | None = None,
    scale: int = 1,
) -> UInt8[np.ndarray, "sh sw 3"]:
    """Draw detections, or annotated objects, on a photograph.

    Masks are translucent, with an outline. Lines and text grow with the picture. Each
    class has its hue, in which its objects differ in lightness; where there is one
    class, each object has its own hue. A label names the class and the score. Where
    there are many objects, or a label would cover others, it is shortened or left out,
    those of high scores last.

    `sh = scale * h`, `sw = scale * w`.

    Args:
      photograph: RGB; it is not changed.
      boxes: x1, y1, x2, y2 in pixels of the photograph; parts outside are not drawn.
      labels: Class names of the objects.
      scores: Scores of the objects, in [0, 1]. None: labels without scores.
      masks: Boolean masks of the objects, (d, h, w), or a sequence that makes each mask
        when it is indexed, so that not all are in memory together. None: boxes alone.
      classes: Names of all classes; a class then has the same hue in every picture.
        None: the names in `labels`.
      scale: Pixels of the result per pixel of the photograph, along each side: 2 and
        more leave room for labels on small photographs.

    Raises:
      RefusedError: An argument has a wrong shape or type, or `labels` has a name that
        is not in `classes`.
      MissingExtraError: Pillow or matplotlib is not installed.
    """
    pixels = np.asarray(photograph)
    objects = _checked(pixels, boxes, labels, scores, masks)
    if classes is not None:
        _check_names("classes", classes)
    check_integer_types("scale", scale, [scale])
    check("scale", scale, "be an integer of at least 1", holds=is_count(scale))
    scale = int(scale)
    picture = _enlarged(pixels, scale)
    style = _Style.of(picture.shape[:2])
    colours = _colours(labels, classes)
    boxes = _clipped(objects.boxes * scale, picture.shape[:2])
    sizes = boxes[:, 2:] - boxes[:, :2]
    # Small objects last: large ones must not hide them.
    order = np.argsort(-sizes.prod(1), kind="stable").tolist()
    strokes = [style.stroke_of(size) for size in sizes]
    for index in order:
        if masks is not None:
            mask = _mask(masks, index, pixels.shape[:2])
            draw_mask(picture, mask, colours[index], strokes[index], scale=scale)
    for index in order:
        draw_box(picture, boxes[index], colours[index], strokes[index])
    draw_labels(
        picture,
        boxes,
        names=objects.labels,
        scores=objects.scores,
        colours=colours,
        text_size=style.text,
    )
    return picture


@dataclasses.dataclass(frozen=True)
class _Objects:
    boxes: np.ndarray
    labels: list[str]
    scores: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class _Style:
    """Sizes in pixels."""

    line: int
    text: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> "_Style":
        side = math.sqrt(size[0] * size[1])
        smallest = np.clip(side / 14, 8, 11)  # DejaVu Sans is legible from 8 pixels on.
        return cls(max(1, round(0.0035 * side)), round(max(smallest, side / 55)))

    def stroke_of(self, size: np.ndarray) -> "Stroke":
        """Return the lines of a box of a size, which must not hide a small object."""
        return Stroke(
            int(np.clip(size.min() // 12, 1, self.line)),
            float(np.clip(size.min() / 10, 0.4, 1)),
        )


@no_type_check
def _checked(
    photograph: np.ndarray, boxes: Any, labels: Any, scores: Any, masks: Any
) -> _Objects:
    if photograph.dtype != np.uint8 or photograph.ndim != 3:
        _refuse_photograph(photograph)
    if photograph.shape[-1] != 3 or 0 in photograph.shape:
        _refuse_photograph(photograph)
    boxes = _numbers("boxes", boxes)
    if boxes.shape == (0,):
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise RefusedError(
            "`boxes` must be finite numbers of shape (d, 4), got shape "
            f"{boxes.shape} with {np.count_nonzero(~np.isfinite(boxes))} others."
        )
    _check_names("labels", labels)
    if scores is not None:
        scores = _numbers("scores", scores)
        within = ((scores >= 0) & (scores <= 1)).all()
        if scores.ndim != 1 or not within:
            raise RefusedError(
                "`scores` must be numbers in [0, 1] of shape (d,), got shape "
                f"{scores.shape} with {scores[~((scores >= 0) & (scores <= 1))]}."
            )
    if masks is not None:
        check("masks", masks, "have a length", holds=hasattr(masks, "__len__"))
    count = len(boxes)
    given = {"labels": labels, "scores": scores, "masks": masks}
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise RefusedError(
                f"`{name}` must have one value for each of the {count} boxes, got "
                f"{len(values)}."
            )
    return _Objects(boxes, [printable(label) for label in labels], scores)


def _refuse_photograph(found: np.ndarray) -> NoReturn:
    raise RefusedError(
        "`photograph` must be uint8 of shape (h, w, 3), got "
        f"{found.dtype} of shape {found.shape}."
    )


@no_type_check
def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError):
        raise RefusedError(f"`{name}` must be numbers, got {values!r}.") from None


@no_type_check
def _check_names(name: str, values: Any) -> None:
    rule = "be names, a string for each"
    holds = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    check(name, values, rule, holds=holds)
    for value in values:
        check(name, value, rule, holds=isinstance(value, str))


def _enlarged(photograph: np.ndarray, scale: int) -> np.ndarray:
    if scale == 1:
        return photograph.copy()
    height, width, _ = photograph.shape
    image = import_or_explain("PIL.Image")
    size = (scale * width, scale * height)
    return np.array(image.fromarray(photograph).resize(size, image.Resampling.BICUBIC))


@no_type_check
def _colours(labels: Sequence[str], classes: Sequence[str] | None) -> list[Colour]:
    names = sorted(set(labels)) if classes is None else list(classes)
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise RefusedError(f"`labels` must be names in `classes`, got {unknown[0]!r}.")
    if len(names) == 1:
        return [distinct_colour(index) for index in range(len(labels))]
    indices = {name: index for index, name in enumerate(names)}
    seen: collections.Counter[str] = collections.Counter()
    colours: list[Colour] = []
    for label in labels:
        colours.append(distinct_colour(indices[label], shade=seen[label]))
        seen[label] += 1
    return colours


def _clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return np.clip(boxes, 0, [width, height, width, height])


@no_type_check
def _mask(masks: Masks, index: int, size: tuple[int, int]) -> np.ndarray:
    mask = np.asarray(masks[index])
    if mask.dtype != bool or mask.shape != tuple(size):
        raise RefusedError(
            f"`masks` must be Boolean of the photograph's size, {tuple(size)}, got "
            f"{mask.dtype} of shape {mask.shape}."
        )
    return mask
