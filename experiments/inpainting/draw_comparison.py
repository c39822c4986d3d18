"""Draw fills by CARAFE++ beside those by plain layers and by a classic method.

Paper: table X of CARAFE++ (arXiv:2012.04733), in pictures, against plain layers.
Cost: as long as an evaluation with the classic fills.
Expected: no number; the picture shows what two networks have learned.
Reached: docs/images/comparison.jpg, of networks of `compare_resamplers` (2026-11-30).
Command: python -m experiments.inpainting.draw_comparison --carafe RUN --plain RUN
For a web page: add -o comparison.jpg --test.holes boxes strokes --test.sample-rows 3
"""

import dataclasses

from rich.console import Console

from carafe_jax.arguments import check, check_count
from carafe_jax.cli.console import run
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions
from experiments.inpainting.comparison.report import write_comparison
from experiments.two_runs import TwoRuns


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawComparison(TwoRuns):
    """Two trained networks, and test images: those of the first, or a source."""

    scale: int | None = None
    """Pixels drawn per pixel of a picture. None: enough for readable titles."""
    batch_size: int = 16
    """Pictures per batch."""
    test: EvaluationOptions = EvaluationOptions(holes=("free-form",), sample_rows=6)
    """Test pictures and their holes, and the classic fills; the best fill is drawn."""

    def __post_init__(self) -> None:
        holds = self.scale is None or self.scale >= 1
        check("scale", self.scale, "be positive or None", holds=holds)
        check_count("batch_size", self.batch_size)


def main(config: DrawComparison, console: Console) -> int:
    """Draw and write the picture."""
    write_comparison(
        config,
        scale=config.scale,
        batch_size=config.batch_size,
        test=config.test,
        console=console,
    )
    return 0


if __name__ == "__main__":
    run(main, DrawComparison, doc=__doc__)
