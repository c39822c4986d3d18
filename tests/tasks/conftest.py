"""Fixtures of these tests."""

from tests.tasks.classification.small import small_resnet as small_resnet
