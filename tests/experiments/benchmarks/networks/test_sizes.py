import pytest

from carafe_jax.models import ClassifierConfig
from experiments.benchmarks.networks.sizes import measure


def test_sizes_are_those_of_the_paper():
    conv, carafe = (
        measure(ClassifierConfig(depth=50, downsampler=name), image_size=224)
        for name in ("conv", "carafe")
    )
    assert conv.parameters == 25_557_032
    # 4.09 billion by torchvision's count, which leaves biases and norms out as well.
    assert conv.multiply_adds == pytest.approx(4.09e9, rel=1e-3)
    assert 0 < carafe.multiply_adds / conv.multiply_adds - 1 < 0.03
