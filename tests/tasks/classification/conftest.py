"""Fixtures of the tests of classification."""

import pytest

from tests.tasks.runs import labelled_folder


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Red and blue images, ten to train on and seven to test."""
    return labelled_folder(tmp_path_factory.mktemp("images"))
