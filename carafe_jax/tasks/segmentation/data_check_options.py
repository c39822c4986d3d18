"""Options of the check of segmented images."""

import dataclasses

from carafe_jax.data import TestSplit
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.label_options import LabelOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions(LabelOptions):
    """Labels and features to read, as a run would."""

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
            test_split=self.test_split,
            **self.label_fields,
        )
