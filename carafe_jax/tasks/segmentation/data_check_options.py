"""Options of the check of segmented images."""

import dataclasses

from carafe_jax.data import TestSplit
from carafe_jax.tasks.segmentation.data_settings import SegmentationData


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Labels and features to read, as a run would."""

    classes_file: str | None = SegmentationData.classes_file
    """File with the classes, as `data.classes_file` of a run. None: the list of the
    source."""
    ignored_labels: tuple[int, ...] = SegmentationData.ignored_labels
    """Values of label maps that are ignored, as `data.ignored_labels` of a run."""
    image_feature: str = SegmentationData.image_feature
    """Feature of the photographs in a data set of TFDS."""
    label_feature: str = SegmentationData.label_feature
    """Feature of the label maps in a data set of TFDS."""
    test_split: TestSplit | None = SegmentationData.test_split
    """Split to test on, as `data.test_split` of a run. None: the first of val,
    validation and test that the source has."""

    def __post_init__(self) -> None:
        self.data("", test_fraction=SegmentationData.test_fraction)

    def data(self, source: str, *, test_fraction: float) -> SegmentationData:
        """Return the data of a run with these options, and defaults for others."""
        return SegmentationData(
            source=source,
            test_fraction=test_fraction,
            classes_file=self.classes_file,
            ignored_labels=self.ignored_labels,
            image_feature=self.image_feature,
            label_feature=self.label_feature,
            test_split=self.test_split,
        )
