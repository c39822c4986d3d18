"""Options of the evaluation of a trained detector."""

import dataclasses

from carafe_jax.arguments import check, check_count, check_up_to_1
from carafe_jax.data import TestSplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Test set, numbers of detections and pictures of an evaluation."""

    test_split: TestSplit | None = None
    """Split to evaluate on, as `data.test_split` of a run. None: that of the run; of
    another source, the first of val, validation and test that it has."""
    max_detections: tuple[int, ...] = ()
    """Largest numbers of detections per photograph, such as 100 300: the table has a
    row for each. Empty: that of the run."""
    score_threshold: float = 0.3
    """Smallest score of the detections in samples.png, in [0, 1]; the table counts
    all."""
    sample_rows: int = 6
    """Rows of samples.png, a test photograph each."""

    def __post_init__(self) -> None:
        limits = self.max_detections
        rule = "be different integers of at least 1"
        holds = all(limit >= 1 for limit in limits) and len({*limits}) == len(limits)
        check("max_detections", limits, rule, holds=holds)
        check_up_to_1("score_threshold", self.score_threshold)
        check_count("sample_rows", self.sample_rows)
