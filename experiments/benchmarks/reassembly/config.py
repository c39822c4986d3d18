"""What the command line sets."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from experiments.benchmarks.reassembly.shapes import ShapeName

Mode = Literal["forward", "forward_backward"]
ProviderName = Literal["carafe", "stacked", "nearest", "copy"]
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Time the reassembly operator against its baselines, interleaved in one run.

    Prints a table, and writes `reassembly.csv` and `reassembly.png`.
    """

    shapes: tuple[ShapeName, ...] = get_args(ShapeName)
    """Calls to time; `shapes.py` says which map and scale each one is."""

    providers: tuple[ProviderName, ...] = get_args(ProviderName)
    """carafe: the operator (on accelerators each of its implementations too);
    stacked: stack the k*k patches and einsum, differentiated by JAX;
    nearest: repeat, gather or stride, without kernels;
    copy: a copy that moves as many bytes as the operator."""

    modes: tuple[Mode, ...] = get_args(Mode)
    """forward_backward returns the output and, given a cotangent, both gradients."""

    dtype: Dtype = "float32"
    """Of features, kernels and cotangent."""

    kernel_size: int = 5
    """Side of the windows, odd."""

    groups: int = 1
    """Groups of channels with kernels of their own."""

    repetitions: int = 15
    """Timings of each program; each repetition runs every provider once."""

    quick: bool = False
    """Time fpn_p3_up and fpn_p3_half only, with at most 5 repetitions."""

    output: Path = Path("runs/benchmarks/reassembly")
    """Folder of the CSV and the plot; files of an earlier run are replaced."""

    def __post_init__(self) -> None:
        """Refuse values that break a rule."""
        if self.repetitions < 1:
            raise ValueError(
                f"`repetitions` must be at least 1, got {self.repetitions}."
            )
        for name in ("shapes", "providers", "modes"):
            if not getattr(self, name):
                raise ValueError(f"`{name}` must name at least one, got none.")
