"""Draw detections and feature maps with CARAFE++ beside those of plain up-samplers.

Paper: figures 1 and 6 of CARAFE++ (arXiv:2012.04733).
Cost: seconds, and the compilation of two networks.
Expected: no number; the pictures show what two networks have learned.
Reached: not run.
Command: python -m experiments.detection.draw_comparison --carafe RUN --plain RUN -o out
The runs: `compare_upsamplers` trains them, in runs/detection/comparison
"""

import dataclasses
import pathlib
from typing import Annotated

import tyro
from rich.console import Console

from carafe_jax.arguments import check_below_1, check_count
from carafe_jax.cli.console import run
from experiments.detection.comparison.report import write_comparison
from experiments.two_runs import TwoRunsOnSplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawComparison(TwoRunsOnSplit):
    """Two trained detectors, and test photographs."""

    photographs: tuple[str, ...] = ()
    """File names of test photographs. Empty: `rows` of them, from all over the set."""
    rows: int = 3
    """Number of photographs where no names are given."""
    score_threshold: float = 0.5
    """Only detections of a higher score are drawn, in [0, 1)."""
    side: int = 512
    """Longer side of a photograph in detections.png, in pixels."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """Folder for detections.png and pyramids.png."""

    def __post_init__(self) -> None:
        check_count("rows", self.rows)
        check_count("side", self.side)
        check_below_1("score_threshold", self.score_threshold)


def main(config: DrawComparison, console: Console) -> int:
    """Draw and write the pictures."""
    write_comparison(
        config,
        photographs=config.photographs,
        rows=config.rows,
        score_threshold=config.score_threshold,
        side=config.side,
        console=console,
    )
    return 0


if __name__ == "__main__":
    run(main, DrawComparison, doc=__doc__)
