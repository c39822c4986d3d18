"""What tests need that compile for chips which are not there."""

import os

import pytest

from experiments.benchmarks.aot.chips import CHIPS, ChipName


def need_compilers(chip: ChipName) -> None:
    """Skip where a compiler is missing; fail where it is meant to be, under CI."""
    missing = CHIPS[chip].missing()
    if missing is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
