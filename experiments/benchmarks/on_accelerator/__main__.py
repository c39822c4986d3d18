"""Command line: `python -m experiments.benchmarks.on_accelerator --help`."""

import argparse
import sys
from pathlib import Path

from experiments.benchmarks.on_accelerator.steps import all_steps, run_steps

_ABOUT = """Run the tests that need an accelerator, tune the kernels at the large
shapes, and measure them in bfloat16 and float32, and PyTorch last. It needs jax, flax,
numpy and pytest alone. The output folder receives a log of each step, the timings, the
tuned configurations and report.txt. A step that fails or hangs does not stop the
others."""


def main() -> None:
    """Run every step in its own process, or the selected step in this one."""
    parser = argparse.ArgumentParser(description=_ABOUT)
    parser.add_argument("--output", type=Path, default=Path("runs/on_accelerator"))
    parser.add_argument("--seconds", type=float, default=570.0, help="for all steps")
    parser.add_argument("--step", choices=("tune", "bfloat16", "float32", "torch"))
    arguments = parser.parse_args()
    output, seconds = arguments.output, arguments.seconds
    output.mkdir(parents=True, exist_ok=True)
    if arguments.step is None:
        sys.exit(_run_all(output, seconds))
    # Imported here: the parent process starts even if their requirements are missing.
    if arguments.step == "tune":
        from experiments.benchmarks.on_accelerator.tune import tune

        tune(output, seconds, _print)
    else:
        from experiments.benchmarks.on_accelerator.benchmark import benchmark

        benchmark(arguments.step, output, _print)


def _run_all(output: Path, seconds: float) -> int:
    ends = run_steps(all_steps(output, seconds), output, _print)
    report = "\n".join(f"{name}: {end}" for name, end in ends.items())
    (output / "report.txt").write_text(f"{report}\n")
    _print(report)
    return int(any(end != "passed" for end in ends.values()))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
