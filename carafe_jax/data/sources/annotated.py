"""Interface of sources of annotated images: photographs with boxes and masks."""

import dataclasses
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64
from PIL import Image

from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.images import NamedImages
from carafe_jax.run_length_codes import RLE

AnnotationKind = Literal["bbox", "segm"]


@dataclasses.dataclass(frozen=True)
class ImageObjects:
    """Objects of one photograph, in pixels of the upright photograph.

    All boxes have an area and overlap the photograph.
    """

    boxes: Float64[np.ndarray, "g 4"]
    """x1, y1, x2, y2, as the source has them: a box may cross the border."""
    classes: Int64[np.ndarray, "g"]
    """Index of the class in the `classes` of the source."""
    crowd: Bool[np.ndarray, "g"]
    """Whether this is a crowd: no object to train on, and an ignored region in the
    evaluation."""
    areas: Float64[np.ndarray, "g"]
    """Area of the object in square pixels, by which COCO separates small, medium and
    large objects: that of the mask, where there is one."""
    ids: Int64[np.ndarray, "g"]
    """Ids of the annotations, for messages; -1: the annotation has none."""
    masks: tuple[RLE, ...] | None
    """Instance masks. None: the source has none, or they were not requested. An object
    that is not `masked` has the mask of its box."""
    masked: Bool[np.ndarray, "g"]
    """Whether the object has a valid mask of its own."""

    def __len__(self) -> int:
        return len(self.boxes)


@runtime_checkable
class AnnotatedImages(NamedImages, Protocol):
    """Random access to photographs that are not yet decoded, and to their objects."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in ascending order of their ids in training."""
        ...

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Ids of the classes in the annotations of this split."""
        ...

    @property
    def has_masks(self) -> bool:
        """Whether objects of the source have instance masks."""
        ...

    @property
    def findings(self) -> Findings:
        """What was dropped, mended or kept while the annotations were read."""
        ...

    def size(self, index: int, /) -> tuple[int, int]:
        """Return height and width of an upright photograph, without opening it."""
        ...

    def image_id(self, index: int, /) -> int:
        """Return the id of a photograph in the annotations."""
        ...

    def objects(self, index: int, /, *, masks: bool = True) -> ImageObjects:
        """Return the objects of a photograph.

        Args:
          index: Index of the photograph.
          masks: Whether to include masks, which takes time where they are polygons.
        """
        ...

    def open(self, index: int, /) -> Image.Image:
        """Open a photograph; its pixels are not decoded.

        Raises:
          UnreadableImageError: It cannot be opened, or its upright size is not that of
            the annotations.
        """
        ...

    def digest(self, *, masks: bool) -> str:
        """Return a hash of the names, sizes and objects of all photographs.

        It depends on their order, and neither on ids nor on pixels.

        Args:
          masks: Whether to include the masks.
        """
        ...

    def coco(self, *, kind: AnnotationKind = "bbox") -> dict[str, Any]:
        """Return the split in COCO's form, as the truth for pycocotools.

        Annotations are numbered from 1: pycocotools reads the id 0 as "no match".

        Args:
          kind: What is evaluated. "segm": objects without a mask of their own are
            ignored regions.
        """
        ...
