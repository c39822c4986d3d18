"""A network that compiles fast: ResNet-18 with half of its blocks."""

import functools

import pytest

from carafe_jax.models import ResNet18
from carafe_jax.models.backbones import choices


def use_small_resnet(patch: pytest.MonkeyPatch | None = None) -> None:
    """Make `depth=18` a ResNet-18 with half of its blocks."""
    small = functools.partial(ResNet18, stage_sizes=(1, 1, 1, 1))
    (patch or pytest.MonkeyPatch()).setitem(choices.RESNETS, 18, small)


@pytest.fixture(scope="package", autouse=True)
def small_resnet():
    """Use the small ResNet in every test of a package whose conftest imports this."""
    with pytest.MonkeyPatch.context() as patch:
        use_small_resnet(patch)
        yield
