"""Options of the check of labelled images."""

import dataclasses

from carafe_jax.data import TestSplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Split to read, as a run would."""

    test_split: TestSplit | None = None
    """Split to test on, as `data.test_split` of a run. None: the first of val,
    validation and test that the source has."""
