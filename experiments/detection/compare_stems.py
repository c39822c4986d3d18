"""Train a small Mask R-CNN with the CARAFE++ of its stem frozen, and trained.

Paper: section 5.1 of CARAFE++ (arXiv:2012.04733), which freezes the stem of a
pretrained backbone and does not say whether its CARAFE++ is frozen, too.
Cost: two runs of 360 steps of four photographs of 192 x 256 px, each 47 to 56
minutes on one CPU core beside other work.
Expected: no number in the paper.
Reached: 696 photographs of seven animals, one seed, 2026-12-01: frozen, box AP 0.055
and mask AP 0.040; trained, 0.052 and 0.037.
Command: python -m experiments.detection.compare_stems --base.data.source FOLDER
The backbone: python -m experiments.classification.pretrain_small_backbone
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models.detection import AnchorSettings
from carafe_jax.tasks.comparison import ComparisonConfig, repeat_over_seeds, with_fields
from carafe_jax.tasks.detection import DetectionRun
from carafe_jax.tasks.run_config import Start
from experiments.classification.pretrain_small_backbone import RUN as PRETRAINING
from experiments.detection.small_mask_rcnn import RUN

_DATA = {"short_side": 192, "long_side": 256, "crop_size": None, "turns": "none"}
_NETWORK = {"downsampler": "carafe", "frozen_stages": 0, "anchors": AnchorSettings()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(ComparisonConfig):
    """The same run with the down-sampler of the stem frozen, and trained."""

    base: DetectionRun = dataclasses.replace(
        with_fields(
            with_fields(RUN, "data", flips="horizontal", largest_scale=None, **_DATA),
            "network",
            **_NETWORK,
        ),
        loop=dataclasses.replace(RUN.loop, steps=360, evaluate_every=360),
        start=Start(model=PRETRAINING.workdir),
        workdir=pathlib.Path("runs/detection/stems"),
    )
    seeds: tuple[int, ...] = (0,)
    results: pathlib.Path = pathlib.Path("experiments/results/detection/stems.csv")


def main(config: Comparison, console: Console) -> int:
    """Train every run that has no row yet, then compare."""
    names = {"frozen": "CARAFE++ of the stem frozen", "trained": "trained"}
    runs = {x: with_fields(config.base, "network", stem_reassembly=x) for x in names}
    return repeat_over_seeds(config, runs, labels=names, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
