"""Draw the label maps of a UperNet with CARAFE++ beside those of one without.

Paper: figure 7 of CARAFE++ (arXiv:2012.04733).
Cost: seconds, and the compilation of two networks.
Expected: no number; the pictures show what two networks have learned.
Reached: the composed pictures, 2026-12-01: little difference, in experiments/README.
Command: python -m experiments.segmentation.draw_comparison --carafe A --plain B -o FILE
The runs A and B: `compare_upsamplers` trains them, in runs/segmentation/comparison
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.arguments import check, check_count
from carafe_jax.cli.console import run
from experiments.segmentation.comparison.report import write_comparison
from experiments.two_runs import TwoRunsOnSplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawComparison(TwoRunsOnSplit):
    """Two trained networks, and photographs."""

    photographs: tuple[pathlib.Path, ...] = ()
    """Image files and folders of them, drawn without truth in place of the source. All
    are drawn if there is no folder among them."""
    rows: int = 4
    """Number of photographs, from all over the source or the folders."""
    side: int = 400
    """Longer side of a drawn photograph, in pixels."""

    def __post_init__(self) -> None:
        check_count("rows", self.rows)
        check_count("side", self.side)
        if self.photographs:
            for name in ("source", "test_split"):
                value = getattr(self, name)
                rule = "be None where `photographs` are drawn in its place"
                check(name, value, rule, holds=value is None)


def main(config: DrawComparison, console: Console) -> int:
    """Draw and write the picture."""
    write_comparison(
        config,
        photographs=config.photographs,
        rows=config.rows,
        side=config.side,
        console=console,
    )
    return 0


if __name__ == "__main__":
    run(main, DrawComparison, doc=__doc__)
