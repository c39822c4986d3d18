"""Compilers for chips that are not attached, as tests need them."""

import os

import pytest

from experiments.benchmarks.aot.chips import CHIPS, ChipName


def need_compilers(chip: ChipName) -> None:
    """Skip the test if the compiler for a chip is missing; fail it under CI."""
    missing = CHIPS[chip].missing()
    if missing is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
