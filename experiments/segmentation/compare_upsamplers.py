"""Train a small UperNet with each up-sampler and in each place, and compare.

Paper: table IX of CARAFE++ (arXiv:2012.04733) scaled down: CARAFE++ in each place, and
in several; and the up-samplers of table IV, each in the pyramid and in the fusion.
Cost: 18 methods with three seeds each, 460 steps of eight crops a run.
Expected: as in table IX, every place ahead of `plain`, and `all_four` first; as in
table IV, CARAFE++ (`fpn_fuse`) ahead of the other up-samplers.
Reached: CamVid, three seeds, 2026-12-01: mean IoU 0.419 of `plain`, 0.438 of
`ppm_fpn_fuse`.
Command: python -m experiments.segmentation.compare_upsamplers --base.data.source FOLDER
Some of the methods: --methods plain fuse ppm_fpn_fuse all_four
A folder without test/: --base.data.test-split val
The pictures of experiments.segmentation.scenes: add --base.data.crop-scales 0.7 1.6
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.tasks.comparison import ComparisonConfig, repeat_over_seeds, with_fields
from carafe_jax.tasks.segmentation import SegmentationRun
from experiments.segmentation._resamplers import METHODS
from experiments.segmentation.small_upernet import RUN


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(ComparisonConfig):
    """The same run with each up-sampler and each seed, evaluated on `test`."""

    base: SegmentationRun = dataclasses.replace(
        with_fields(
            with_fields(RUN, "data", test_split="test"),
            "training",
            labels_at="first",  # As the network in PyTorch.
        ),
        loop=dataclasses.replace(RUN.loop, evaluate_every=RUN.loop.total_steps),
        workdir=pathlib.Path("runs/segmentation/comparison"),
    )
    results: pathlib.Path = pathlib.Path(
        "experiments/results/segmentation/upsamplers.csv"
    )


def main(config: Comparison, console: Console) -> int:
    """Train every run that has no row yet, then compare."""
    runs = {
        name: with_fields(config.base, "network", **fields)
        for name, fields in METHODS.items()
    }
    return repeat_over_seeds(config, runs, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
