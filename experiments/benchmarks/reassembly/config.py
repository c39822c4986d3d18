"""Options of the command line."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from carafe_jax.errors import RefusedError
from experiments.benchmarks.reassembly.platforms import on_accelerator
from experiments.benchmarks.reassembly.shapes import LARGE, ShapeName

Mode = Literal["forward", "grad_features", "grad_kernels", "forward_backward"]
ProviderName = Literal[
    "carafe",
    "fused_softmax",
    "unfused_softmax",
    "im2col",
    "torch_unfold",
    "torch_bilinear",
    "nearest",
    "copy",
]
Dtype = Literal["float32", "bfloat16", "float16"]
MODE_TITLES: dict[Mode, str] = {
    "forward": "forward",
    "grad_features": "gradient of the features",
    "grad_kernels": "gradient of the kernels",
    "forward_backward": "forward + backward",
}
PROVIDER_TITLES: dict[str, str] = {
    "carafe": "operator",
    "fused_softmax": "operator with fused softmax",
    "unfused_softmax": "softmax, then operator",
    "im2col": "stacked patches and einsum",
    "torch_unfold": "PyTorch: F.unfold and einsum",
    "torch_bilinear": "PyTorch: bilinear",
    "nearest": "nearest neighbour",
    "copy": "copy of as many bytes",
}
"""Names of the programs in the legend of the plot."""


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
    """Feature maps and scales to time, defined in `shapes.py`; by default the large
    ones on accelerators only."""

    providers: tuple[ProviderName, ...] = get_args(ProviderName)
    """Programs to time.
    carafe: the operator on normalised kernels (on accelerators by each implementation);
    fused_softmax: the operator on the content encoder's logits, with the softmax in the
    launch;
    unfused_softmax: softmax of the logits, then the operator;
    im2col: stacked k*k patches and einsum, differentiated by JAX;
    torch_unfold: nearest neighbours, F.unfold and einsum in PyTorch;
    torch_bilinear: F.interpolate, without kernels;
    nearest: nearest neighbours by repeat, gather or stride, without kernels;
    copy: a copy that moves as many bytes as the operator."""

    modes: tuple[Mode, ...] = dataclasses.field(default_factory=_default_modes)
    """Results to compute: the output, one gradient alone (by default on accelerators
    only), or with forward_backward the output and both gradients."""

    dtype: Dtype = "float32"
    """Dtype of features, kernels and cotangent."""

    kernel_size: int = 5
    """Size of the reassembly kernels, odd."""

    groups: int = 1
    """Groups of channels, each with its own kernels."""

    repetitions: int = 15
    """Timings of each program; each repetition runs every provider once."""

    copy_megabytes: int | None = None
    """Size in MB of the array whose copy measures the memory bandwidth; by default 256,
    on an accelerator 8192, but at most a quarter of the free memory."""

    quick: bool = False
    """Time fpn_p3_up and fpn_p3_half alone, with at most 5 repetitions."""

    output: Path = Path("runs/benchmarks/reassembly")
    """Folder of the CSV and the plot; files of an earlier run are replaced."""

    def __post_init__(self) -> None:
        """Raise if a value breaks a rule."""
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
