"""What holds for the tests of classification."""

import pytest

from experiments.classification import network
from tests.experiments.classification.small import RESNET


@pytest.fixture(scope="package", autouse=True)
def small_resnet():
    """Let `depth=18` make a network that compiles fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network._RESNETS, 18, RESNET)
        yield
