"""Batches of windows of any photographs, and the logits that a network has for them."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypedDict

import jax
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.sliding_windows import cut_windows, window_grid


class WindowBatch(TypedDict):
    """Windows of photographs of any sizes; a window has no axis b."""

    image: UInt8[np.ndarray, "*b h w 3"]
    """RGB in [0, 255]; zeros in the padding."""
    image_start: Int32[np.ndarray, "*b 2"]
    """Rows of padding above the photograph, and columns on its left."""
    image_size: Int32[np.ndarray, "*b 2"]
    """(height, width) without the padding."""


WindowLogits = Callable[
    [Iterable[WindowBatch]], Iterable[Float[Array | np.ndarray, "b f oh ow k"]]
]
"""Function from batches of windows to the logits of each, and of mirror images."""


def with_window_logits(
    batches: Iterable[Mapping[str, Any]],
    logits_of: WindowLogits,
    *,
    window: Size,
    windows_at_once: int,
    photographs_at_once: int,
) -> Iterator[dict[str, Any]]:
    """Add the logits of all windows to test batches, which are split.

    All windows are in batches of one size, those of different photographs together, so
    the network is compiled once for photographs of all sizes.

    Args:
      batches: Test batches. Examples that are not `valid` are left out.
      logits_of: Function from windows to logits.
      window: Size of a window.
      windows_at_once: Windows per batch of `logits_of`.
      photographs_at_once: Photographs per batch of the result, at most.

    Returns:
      Iterator over the batches with "logits": for each view of the photographs, an
      array of n photographs, m windows, f images of a window, and their logits.
    """
    ahead, behind = itertools.tee(_parts(batches, photographs_at_once))
    windows = (x for batch in ahead for x in _windows(batch, window))
    stacked = _stacked(windows, windows_at_once)
    logits = (x for each in logits_of(stacked) for x in np.asarray(each))
    for batch in behind:
        yield {**batch, "logits": _join(batch, logits, window=window)}


def _parts(
    batches: Iterable[Mapping[str, Any]], largest: int
) -> Iterator[dict[str, Any]]:
    """Yield parts of the batches, without the examples that are not valid."""
    for batch in batches:
        places = np.arange(len(batch["label_size"]))
        kept = places[batch["valid"]] if "valid" in batch else places
        for start in range(0, len(kept), largest):
            part = kept[start : start + largest]
            yield {
                "images": tuple(images[part] for images in batch["images"]),
                **{k: x[part] for k, x in batch.items() if k != "images"},
            }


def _windows(batch: Mapping[str, Any], window: Size) -> Iterator[WindowBatch]:
    """Yield the windows of each photograph, view by view."""
    for views in zip(*batch["images"], strict=True):
        for image in views:
            size = Size(*image.shape[:2])
            start = np.array(window_grid(size, window).before, np.int32)
            inside = np.minimum(size, window).astype(np.int32)
            for each in cut_windows(image, window):
                yield WindowBatch(image=each, image_start=start, image_size=inside)


def _stacked(windows: Iterable[WindowBatch], count: int) -> Iterator[WindowBatch]:
    windows = iter(windows)
    while group := list(itertools.islice(windows, count)):
        # Copies fill the last batch, so that only one size is compiled.
        filled = [*group, *[group[-1]] * (count - len(group))]
        yield jax.tree.map(lambda *each: np.stack(each), *filled)


def _join(
    batch: Mapping[str, Any], logits: Iterator[np.ndarray], *, window: Size
) -> tuple[np.ndarray, ...]:
    """Return the next logits, those of a batch, view by view."""
    sizes = [Size(*images.shape[1:3]) for images in batch["images"]]
    counts = [len(window_grid(size, window).starts) for size in sizes]
    found = [
        [np.stack([*itertools.islice(logits, count)]) for count in counts]
        for _ in batch["label_size"]
    ]
    return tuple(np.stack(view) for view in zip(*found, strict=True))
