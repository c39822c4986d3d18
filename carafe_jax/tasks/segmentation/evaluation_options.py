"""Options of the evaluation of a trained segmentation network."""

import dataclasses

from carafe_jax.arguments import check, check_count, check_label_values
from carafe_jax.data import TestSplit
from carafe_jax.tasks.data_fields import evaluated_data
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.label_options import LabelOptions
from carafe_jax.tasks.segmentation.views import Views


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions(LabelOptions, Views):
    """Test set, views and pictures of an evaluation.

    Label maps of the run's own source are read as in the run, those of another source
    by the options here.
    """

    test_split: TestSplit | None = None
    """Split to evaluate on, as `data.test_split` of a run. None: that of the run; of
    another source, the first of val, validation and test that it has."""
    sample_rows: int = 6
    """Rows of samples.png, a test photograph each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_label_values("ignored_labels", self.ignored_labels)
        check_count("sample_rows", self.sample_rows)

    def data(
        self, trained: SegmentationData, *, source: str | None, batch_size: int
    ) -> SegmentationData:
        """Return a run's data as an evaluation with these options reads them.

        Args:
          trained: Data of the run.
          source: Source of the photographs. None: that of the run.
          batch_size: Photographs per batch.

        Raises:
          RefusedError: An option describes label maps of the run's own source.
        """
        data = evaluated_data(
            trained, source=source, test_split=self.test_split, batch_size=batch_size
        )
        if data.source != trained.source:
            return dataclasses.replace(data, **self.label_fields)
        for name, value in self.label_fields.items():
            default = getattr(LabelOptions, name)
            rule = f"be {default!r} unless `source` is another one than that of the run"
            check(name, value, rule, holds=value == default)
        return data
