"""Options of the check of photographs without labels."""

import dataclasses

from carafe_jax.arguments import check_count
from carafe_jax.data import TestSplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Split to read, and size of photographs that a run can use."""

    test_split: TestSplit | None = None
    """Split to test on, as `data.test_split` of a run. None: the first of val,
    validation and test that the source has."""
    crop_size: int | None = None
    """Side of the crops, as `data.crop_size` of a run: photographs with a smaller side
    count as unreadable. None: they may have any size."""

    def __post_init__(self) -> None:
        if self.crop_size is not None:
            check_count("crop_size", self.crop_size)
