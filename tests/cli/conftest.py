"""What holds for these tests."""

import pytest

from tests.tasks.classification.small import use_small_resnet


@pytest.fixture(scope="package", autouse=True)
def small_resnet():
    """Let `depth=18` make a network that compiles fast."""
    with pytest.MonkeyPatch.context() as patch:
        use_small_resnet(patch)
        yield
