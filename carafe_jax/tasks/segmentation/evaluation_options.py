"""Options of the evaluation of a trained segmentation network."""

import dataclasses

from carafe_jax.arguments import check_count


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Pictures of an evaluation."""

    sample_rows: int = 6
    """Rows of samples.png, a test photograph each."""

    def __post_init__(self) -> None:
        check_count("sample_rows", self.sample_rows)
