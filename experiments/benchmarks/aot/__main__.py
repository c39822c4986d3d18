"""Command line: `python -m experiments.benchmarks.aot --help`."""

import sys

import tyro
from rich.console import Console

from experiments.benchmarks.aot.config import Config
from experiments.benchmarks.aot.run import run


def main() -> None:
    """Read the command line and run."""
    config = tyro.cli(Config, prog="python -m experiments.benchmarks.aot")
    sys.exit(0 if run(config.effective, Console()) else 1)


if __name__ == "__main__":
    main()
