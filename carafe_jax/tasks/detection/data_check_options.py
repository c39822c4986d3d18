"""Options of the check of annotated images."""

import dataclasses

from carafe_jax.arguments import check_count
from carafe_jax.data import TestSplit
from carafe_jax.tasks.detection.data_settings import DetectionData


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Split to read, and numbers of objects that a run accepts."""

    test_split: TestSplit | None = DetectionData.test_split
    """Split to test on, as `data.test_split` of a run. None: the first of val,
    validation and test that the source has."""
    max_objects: int = DetectionData.max_objects
    """Largest number of objects in a training image, as `data.max_objects` of a
    run."""
    truncate_objects: bool = DetectionData.truncate_objects
    """Whether a run drops the smallest objects beyond that number, as
    `data.truncate_objects` of a run. False: it is an error if there are such images."""

    def __post_init__(self) -> None:
        check_count("max_objects", self.max_objects)
