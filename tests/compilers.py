"""What tests need that compile for chips which are not there."""

import os

import pytest

from experiments.benchmarks.aot.targets import TARGETS, TargetName


def need_compilers(target: TargetName) -> None:
    """Skip where a compiler is missing; fail where it is meant to be, under CI."""
    missing = TARGETS[target].missing()
    if missing is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
