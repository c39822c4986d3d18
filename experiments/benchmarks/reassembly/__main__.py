"""Command line: `python -m experiments.benchmarks.reassembly --help`."""

import dataclasses

import tyro
from rich.console import Console

from experiments.benchmarks.reassembly.config import Config
from experiments.benchmarks.reassembly.run import run
from experiments.benchmarks.reassembly.shapes import QUICK, SHAPES


def main() -> None:
    """Read the command line and run."""
    config = tyro.cli(Config, prog="python -m experiments.benchmarks.reassembly")
    if config.quick:
        repetitions = min(config.repetitions, 5)
        config = dataclasses.replace(config, shapes=QUICK, repetitions=repetitions)
    run([SHAPES[name] for name in config.shapes], config, Console())


if __name__ == "__main__":
    main()
