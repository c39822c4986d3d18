"""What holds for the tests of classification."""

import pytest

from carafe_jax.models import classifier
from tests.experiments.classification.small import RESNET


@pytest.fixture(scope="package", autouse=True)
def small_resnet():
    """Let `depth=18` make a network that compiles fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(classifier._RESNETS, 18, RESNET)
        yield
