"""Fixtures of these tests."""

import pytest

from carafe_jax.tasks.run import train_and_report
from tests.tasks.classification.small import small_resnet as small_resnet
from tests.tasks.runs import call, segmentation
from tests.tasks.segmentation.drawn_folder import drawn_folder


@pytest.fixture(scope="package")
def finished(tmp_path_factory, small_resnet):
    """The configuration of a finished run."""
    root = tmp_path_factory.mktemp("segmentation")
    config = segmentation(drawn_folder(root / "pictures"), root / "run")
    status, _ = call(train_and_report, config)
    assert status == 0
    return config
