"""Label maps of photographs of any size with a trained network."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, UInt8

from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import no_type_check
from carafe_jax.models.segmentation import SegmentationNetwork
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.photograph_batches import (
    BatchPredictor,
    read_pixels,
    weights_digest,
)
from carafe_jax.tasks.segmentation.data import SegmentationData
from carafe_jax.tasks.segmentation.held_out_examples import padded_label_size
from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.tasks.segmentation.outputs import (
    label_maps_of,
    logits_of,
    window_logits_of,
)
from carafe_jax.tasks.segmentation.photographs import prepare_photograph
from carafe_jax.tasks.segmentation.views import Views
from carafe_jax.tasks.segmentation.window_batches import (
    WindowBatch,
    with_window_logits,
)
from carafe_jax.train import Variables


@no_type_check
@dataclasses.dataclass(frozen=True)
class PhotographLabels:
    """The class of each pixel of a photograph."""

    labels: UInt8[np.ndarray, "h w"]
    """Indices of the classes, at the size of the photograph."""
    classes: tuple[str, ...]
    """Names of all classes, by label."""
    palette: UInt8[np.ndarray, "k 3"]
    """RGB colour of each class in pictures."""


@dataclasses.dataclass(frozen=True)
class TrainedSegmenter:
    """A trained segmentation network, with its variables, classes and image sizes."""

    network: SegmentationNetwork
    variables: Variables
    name: str
    """Name of the network in tables."""
    dtype: str
    align_corners: bool
    """Whether logits are resized with aligned corners."""
    classes: LabelClasses
    data: SegmentationData
    """Sizes of the images; its source is not opened."""
    step: int
    """Step of the checkpoint."""
    views: Views = Views()
    """Views of each photograph."""

    def provenance(self) -> dict[str, Any]:
        """Return all that label maps depend on, besides photographs and classes."""
        return {
            "network": self.name,
            "step": self.step,
            "weights": weights_digest(self.variables),
            "dtype": self.dtype,
            "short_side": self.data.test_short_side,
            "long_side": self.views.long_side or self.data.long_side,
            **_other_than_default(self.views),
        }

    def predict(self, batch: Mapping[str, Any]) -> UInt8[Array, "n h w"]:
        """Return the label maps of a test batch, at the shape of its labels.

        With sliding windows, the batch is one of `with_window_logits`.
        """
        if self.views.window is None:
            logits = self.logits(self.variables, batch["images"])
            batch = {**batch, "logits": logits}
        return self.label_maps(self.variables, batch)

    @no_type_check
    def segment(
        self, photograph: UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str]
    ) -> PhotographLabels:
        """Return the class of each pixel of a photograph of any size.

        Args:
          photograph: RGB in [0, 255], or an image file, which is turned upright.

        Raises:
          RefusedError: The array is not uint8 of shape (h, w, 3), or has no pixel.
          UnreadableImageError: The file cannot be read.
        """
        return self._predictor.one(photograph)

    @no_type_check
    def segment_all(
        self,
        photographs: Iterable[UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str]],
        *,
        batch_size: int = 1,
    ) -> Iterator[PhotographLabels | UnreadableImageError]:
        """Return an iterator over the label maps of photographs, in their order.

        Photographs of one resized size and one padded size of label maps share batches.
        The network is compiled for each resized size, and a small program for each pair
        of sizes. With sliding windows, the network is compiled once for photographs of
        all sizes, and takes `batch_size` windows at once. A few batches of resized
        photographs are in memory at a time.

        Args:
          photographs: As `segment` takes them, of any sizes.
          batch_size: Photographs per batch; with sliding windows, windows.

        Returns:
          The label maps in the order of the photographs; for a file that cannot be
          read, its error instead.

        Raises:
          RefusedError: `batch_size` is not positive; or, when the iterator reaches it,
            an array is not uint8 of shape (h, w, 3), or has no pixel.
        """
        return self._predictor.all(photographs, batch_size=batch_size)

    @functools.cached_property
    def _predictor(self) -> BatchPredictor["_Prepared", PhotographLabels]:
        if self.views.window is None:
            return BatchPredictor(
                prepare=self._prepare,
                size=lambda prepared: (prepared.sizes, prepared.label_size),
                predict=self._segment,
            )
        # Windows of photographs of all sizes share batches.
        return BatchPredictor(
            prepare=self._prepare,
            size=lambda prepared: None,
            predict=functools.partial(self._segment_windows, self.views.window),
        )

    def _prepare(self, photograph: Any) -> "_Prepared":
        pixels = read_pixels(photograph)
        height, width, _ = pixels.shape
        images = prepare_photograph(pixels, self.data, self.views)
        return _Prepared(images, Size(height, width))

    def _segment(self, prepared: Sequence["_Prepared"]) -> list[PhotographLabels]:
        """Return the label maps of images of one size, with maps of one padded size."""
        batch = _stacked(prepared)
        batch["logits"] = self._logits(self.variables, batch.pop("images"))
        maps = jax.device_get(self._label_maps(self.variables, batch))
        return [self._labels(*pair) for pair in zip(maps, prepared, strict=True)]

    def _segment_windows(
        self, window: Size, prepared: Sequence["_Prepared"]
    ) -> list[PhotographLabels]:
        """Return the label maps of images, without those of copies at the end."""

        def logits_of(windows: Iterable[WindowBatch]) -> Iterator[Array]:
            return (self._windows(self.variables, each) for each in windows)

        others = [
            x for x, following in itertools.pairwise(prepared) if x is not following
        ]
        distinct = [*others, prepared[-1]]
        batches = with_window_logits(
            (_stacked([each]) for each in distinct),
            logits_of,
            window=window,
            windows_at_once=len(prepared),
            photographs_at_once=1,
        )
        found: list[PhotographLabels] = []
        for batch, each in zip(batches, distinct, strict=True):
            (labels,) = jax.device_get(self._label_maps(self.variables, batch))
            found.append(self._labels(labels, each))
        return found

    def _labels(
        self, labels: UInt8[np.ndarray, "h w"], prepared: "_Prepared"
    ) -> PhotographLabels:
        height, width = prepared.size
        return PhotographLabels(
            labels=labels[:height, :width],
            classes=self.classes.names,
            palette=np.array(self.classes.palette, np.uint8),
        )

    @functools.cached_property
    def logits(self) -> Any:
        """Function of `outputs.logits_of`, to be traced by JAX."""
        return logits_of(self.network, dtype=self.dtype, flip=self.views.flip)

    @functools.cached_property
    def _logits(self) -> Any:
        return jax.jit(self.logits)

    @functools.cached_property
    def label_maps(self) -> Any:
        """Function of `outputs.label_maps_of`, to be traced by JAX."""
        return label_maps_of(align_corners=self.align_corners, window=self.views.window)

    @functools.cached_property
    def _label_maps(self) -> Any:
        return jax.jit(self.label_maps)

    @functools.cached_property
    def window_logits(self) -> Any:
        """Function of `outputs.window_logits_of`, to be traced by JAX."""
        return window_logits_of(self.network, dtype=self.dtype, flip=self.views.flip)

    @functools.cached_property
    def _windows(self) -> Any:
        return jax.jit(self.window_logits)


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """The views of a photograph, and its own size."""

    images: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    size: Size

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(image.shape for image in self.images)

    @property
    def label_size(self) -> Size:
        return padded_label_size(self.size)


def _stacked(prepared: Sequence[_Prepared]) -> dict[str, Any]:
    """Return a test batch of photographs of one size."""
    return {
        "images": jax.tree.map(
            lambda *views: np.stack(views), *(each.images for each in prepared)
        ),
        "label_size": np.array([each.size for each in prepared], np.int32),
        # Only its shape is read.
        "label": np.zeros((len(prepared), *prepared[0].label_size), np.uint8),
    }


def _other_than_default(views: Views) -> dict[str, Any]:
    """Return the fields that are not the default, as label maps record them in JSON."""
    fields = {
        "short_sides": list(views.short_sides),
        "flip": views.flip,
        "sliding_window": list(views.sliding_window or ()),
    }
    return {name: value for name, value in fields.items() if value}
