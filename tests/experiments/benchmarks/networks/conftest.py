"""What holds for these tests: `depth=18` makes a network that compiles fast."""

from tests.experiments.classification.conftest import small_resnet as small_resnet
