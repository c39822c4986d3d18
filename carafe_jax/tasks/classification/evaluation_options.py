"""Options of the evaluation of a trained classifier."""

import dataclasses

from carafe_jax.data import TestSplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Test set of an evaluation."""

    test_split: TestSplit | None = None
    """Split to evaluate on, as `data.test_split` of a run. None: that of the run; of
    another source, the first of val, validation and test that it has."""
