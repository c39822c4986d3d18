"""Sheets of test photographs with their detections, and the truth beside them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from carafe_jax.data import UnreadableImageError, decode_image
from carafe_jax.data.sources.annotated import RLE, AnnotatedImages
from carafe_jax.tasks.detection.mask_encoding import DecodedMasks
from carafe_jax.tasks.detection.results import DetectionResult, ResultsByImage
from carafe_jax.viz import draw_detections

SCORE_THRESHOLD = 0.3
"""Smallest score of a detection in pictures."""

_GAP = 4
_TEXT = 15  # Pixels.
_HEADER = 26


def draw_samples(
    images: AnnotatedImages,
    results: ResultsByImage,
    *,
    score_threshold: float = SCORE_THRESHOLD,
    side: int = 512,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a sheet with a row for each photograph: detections, and the truth.

    Crowds are not drawn. A photograph that cannot be read any more is left out.

    Args:
      images: Test set.
      results: Detections of each photograph to draw, by its index in the test set.
      score_threshold: Smallest score of a detection that is drawn.
      side: Longer side of a drawn photograph, in pixels.
    """
    titles = (f"detections, score at least {score_threshold:g}", "truth")
    rows = [
        row
        for index, detections in results.items()
        if (row := _row(images, index, detections, score_threshold, side)) is not None
    ]
    heights = [max(tile.height for tile in row) + _GAP for row in rows]
    width = max([side // 2, *(tile.width for row in rows for tile in row)]) + _GAP
    size = (len(titles) * width - _GAP, _HEADER + sum(heights))
    sheet = Image.new("RGB", size, "white")
    font = ImageFont.load_default(_TEXT)
    for column, title in enumerate(titles):
        middle = (column * width + (width - _GAP) / 2, _HEADER / 2)
        ImageDraw.Draw(sheet).text(middle, title, "black", font, "mm")
    top = _HEADER
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * width, top))
        top += height
    return np.asarray(sheet)


def _row(
    images: AnnotatedImages,
    index: int,
    detections: Sequence[DetectionResult],
    score_threshold: float,
    side: int,
) -> tuple[Image.Image, Image.Image] | None:
    try:
        with images.open(index) as opened:
            photograph = Image.fromarray(decode_image(opened))
    except UnreadableImageError:
        return None
    scale = side / max(photograph.size)
    width, height = (max(1, round(scale * length)) for length in photograph.size)
    tile = np.asarray(photograph.resize((width, height), Image.Resampling.LANCZOS))
    return (
        _drawn_detections(tile, images, detections, score_threshold, scale),
        _drawn_objects(tile, images, index, scale),
    )


def _drawn_detections(
    tile: UInt8[np.ndarray, "h w 3"],
    images: AnnotatedImages,
    detections: Sequence[DetectionResult],
    score_threshold: float,
    scale: float,
) -> Image.Image:
    shown = [x for x in detections if x["score"] >= score_threshold]
    boxes = np.array([x["bbox"] for x in shown], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    names = dict(zip(images.category_ids, images.classes, strict=True))
    masks = [x["segmentation"] for x in shown if "segmentation" in x]
    return _drawn(
        tile,
        images,
        scale * boxes,
        [names[x["category_id"]] for x in shown],
        scores=np.array([x["score"] for x in shown]),
        masks=masks if len(masks) == len(shown) else None,
    )


def _drawn_objects(
    tile: UInt8[np.ndarray, "h w 3"],
    images: AnnotatedImages,
    index: int,
    scale: float,
) -> Image.Image:
    truth = images.objects(index)
    kept = np.flatnonzero(~truth.crowd).tolist()
    masks = None if truth.masks is None else [truth.masks[x] for x in kept]
    names = [images.classes[int(label)] for label in truth.classes[kept]]
    return _drawn(tile, images, scale * truth.boxes[kept], names, masks=masks)


def _drawn(
    tile: UInt8[np.ndarray, "h w 3"],
    images: AnnotatedImages,
    boxes: Float[np.ndarray, "d 4"],
    labels: Sequence[str],
    *,
    scores: Float[np.ndarray, "d"] | None = None,
    masks: Sequence[RLE] | None = None,
) -> Image.Image:
    picture = draw_detections(
        tile,
        boxes,
        labels=labels,
        scores=scores,
        masks=None if masks is None else _ResizedMasks(masks, tile.shape[:2]),
        classes=images.classes,
    )
    return Image.fromarray(picture)


class _ResizedMasks(DecodedMasks):
    """Masks at the size of a drawn photograph."""

    def __init__(self, masks: Sequence[RLE], size: tuple[int, ...]) -> None:
        super().__init__(masks)
        self._size = size

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        height, width = self._size
        mask = Image.fromarray(super().__getitem__(index))
        return np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))
