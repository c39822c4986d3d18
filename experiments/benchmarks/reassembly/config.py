"""The options of the command line."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from carafe_jax.errors import RefusedError
from experiments.benchmarks.reassembly.platforms import on_accelerator
from experiments.benchmarks.reassembly.shapes import LARGE, ShapeName

Mode = Literal["forward", "grad_features", "grad_kernels", "forward_backward"]
ProviderName = Literal[
    "carafe",
    "fused",
    "unfused",
    "stacked",
    "torch_unfold",
    "torch_bilinear",
    "nearest",
    "copy",
]
Dtype = Literal["float32", "bfloat16", "float16"]


def _default_shapes() -> tuple[ShapeName, ...]:
    names = get_args(ShapeName)
    return names if on_accelerator() else tuple(n for n in names if n not in LARGE)


def _default_modes() -> tuple[Mode, ...]:
    return get_args(Mode) if on_accelerator() else ("forward", "forward_backward")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Time the reassembly operator against its baselines, interleaved in one run.

    Prints a table, and writes `reassembly.csv` and `reassembly.png`.
    """

    shapes: tuple[ShapeName, ...] = dataclasses.field(default_factory=_default_shapes)
    """Calls to time; `shapes.py` says which map and scale each one is. The large ones
    are for accelerators."""

    providers: tuple[ProviderName, ...] = get_args(ProviderName)
    """carafe: the operator (on accelerators each of its implementations too);
    fused: from the content encoder's logits, normalised as they load;
    unfused: the same in two steps, kernels and reassembly;
    stacked: stack the k*k patches and einsum, differentiated by JAX;
    torch_unfold: nearest neighbours, F.unfold and einsum in PyTorch;
    torch_bilinear: F.interpolate, without kernels;
    nearest: repeat, gather or stride, without kernels;
    copy: a copy that moves as many bytes as the operator."""

    modes: tuple[Mode, ...] = dataclasses.field(default_factory=_default_modes)
    """forward_backward returns the output and, given a cotangent, both gradients.
    Each gradient alone is measured by default on accelerators only."""

    dtype: Dtype = "float32"
    """Of features, kernels and cotangent."""

    kernel_size: int = 5
    """Side of the windows, odd."""

    groups: int = 1
    """Groups of channels with kernels of their own."""

    repetitions: int = 15
    """Timings of each program; each repetition runs every provider once."""

    copy_megabytes: int | None = None
    """Size of the array whose copy tells the bandwidth of memory; by default 256, and
    8192 on an accelerator, or as much as a quarter of the free memory."""

    quick: bool = False
    """Time fpn_p3_up and fpn_p3_half only, with at most 5 repetitions."""

    output: Path = Path("runs/benchmarks/reassembly")
    """Folder of the CSV and the plot; files of an earlier run are replaced."""

    def __post_init__(self) -> None:
        """Refuse values that break a rule."""
        if self.repetitions < 1:
            raise RefusedError(
                f"`repetitions` must be at least 1, got {self.repetitions}."
            )
        if self.copy_megabytes is not None and self.copy_megabytes < 1:
            raise RefusedError(
                f"`copy_megabytes` must be at least 1, got {self.copy_megabytes}."
            )
        for name in ("shapes", "providers", "modes"):
            if not getattr(self, name):
                raise RefusedError(f"`{name}` must name at least one, got none.")
