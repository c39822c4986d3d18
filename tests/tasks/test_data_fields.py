"""Fields that the data of all tasks have."""

import pytest

from carafe_jax.tasks.classification import ClassificationData
from carafe_jax.tasks.data_fields import evaluated_data
from carafe_jax.tasks.detection import DetectionData
from carafe_jax.tasks.inpainting import InpaintingData
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions
from carafe_jax.tasks.segmentation import SegmentationData

KINDS = (ClassificationData, DetectionData, InpaintingData, SegmentationData)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        (None, None, ("own", "test")),
        (None, "val", ("own", "val")),
        ("other", None, ("other", None)),
        ("other", "val", ("other", "val")),
    ],
)
def test_test_set_of_a_run_is_not_that_of_another_source(kind, source, given, expected):
    run = kind(source="own", test_split="test", batch_size=2)
    data = evaluated_data(run, source=source, test_split=given, batch_size=3)
    assert (data.source, data.test_split, data.batch_size) == (*expected, 3)


def test_options_of_inpainting_choose_the_test_set():
    run = InpaintingData(source="own", test_split="test")
    options = EvaluationOptions(test_split="val", test_seed=5)
    data = options.applied_to(run, None)
    assert (data.source, data.test_split, data.test_seed) == ("own", "val", 5)
    assert EvaluationOptions().applied_to(run, "other").test_split is None
