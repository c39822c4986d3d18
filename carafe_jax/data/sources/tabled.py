"""Base of annotated images whose objects are in a table."""

import dataclasses
from typing import Any

from carafe_jax.data.sources.annotated import AnnotationKind, ImageObjects
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.object_table import ObjectTable


@dataclasses.dataclass(frozen=True)
class TabledImages:
    """The members of `AnnotatedImages` that a table has; `name` and `open` are left."""

    table: ObjectTable
    findings: Findings

    def __len__(self) -> int:
        return len(self.table)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.table.classes

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Ids of the classes in the annotations of this split."""
        return self.table.category_ids

    @property
    def has_masks(self) -> bool:
        """Whether objects have instance masks."""
        return self.table.has_masks

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of an upright image, as the annotations have them."""
        return self.table.size(index)

    def image_id(self, index: int) -> int:
        """Return the id of an image in the annotations."""
        return self.table.image_id(index)

    def objects(self, index: int, *, masks: bool = True) -> ImageObjects:
        """Return the objects of the image of this index."""
        return self.table.objects(index, masks=masks)

    def digest(self, *, masks: bool) -> str:
        """Return a hash of the names, sizes and objects of all images."""
        return self.table.digest(masks=masks)

    def coco(self, *, kind: AnnotationKind = "bbox") -> dict[str, Any]:
        """Return the split in COCO's form, as the truth for pycocotools."""
        return self.table.coco(kind=kind)
