"""Options that describe the label maps of a source."""

import dataclasses
from typing import Any

from carafe_jax.tasks.segmentation.data_settings import SegmentationData


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Classes, ignored labels and features of a source."""

    classes_file: str | None = SegmentationData.classes_file
    """File with the classes, as `data.classes_file` of a run. None: the list of the
    source."""
    ignored_labels: tuple[int, ...] = SegmentationData.ignored_labels
    """Values of label maps that are ignored, as `data.ignored_labels` of a run."""
    image_feature: str = SegmentationData.image_feature
    """Feature of the photographs in a data set of TFDS."""
    label_feature: str = SegmentationData.label_feature
    """Feature of the label maps in a data set of TFDS."""

    @property
    def label_fields(self) -> dict[str, Any]:
        """The fields of `SegmentationData` that describe the label maps."""
        names = [field.name for field in dataclasses.fields(LabelOptions)]
        return {name: getattr(self, name) for name in names}
