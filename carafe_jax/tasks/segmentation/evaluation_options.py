"""Options of the evaluation of a trained segmentation network."""

import dataclasses

from carafe_jax.arguments import check_count
from carafe_jax.data import TestSplit
from carafe_jax.tasks.segmentation.views import Views


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions(Views):
    """Test set, views and pictures of an evaluation."""

    test_split: TestSplit | None = None
    """Split to evaluate on, as `data.test_split` of a run. None: that of the run; of
    another source, the first of val, validation and test that it has."""
    sample_rows: int = 6
    """Rows of samples.png, a test photograph each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("sample_rows", self.sample_rows)
