"""Fixtures of the tests of inpainting."""

import pytest
from rich.console import Console

from carafe_jax.tasks.run import train_and_report
from tests.tasks.runs import inpainting


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    """The folder of a finished run."""
    workdir = tmp_path_factory.mktemp("run")
    assert train_and_report(inpainting(workdir), Console(quiet=True)) == 0
    return workdir
