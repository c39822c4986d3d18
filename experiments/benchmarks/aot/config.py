"""The options of the command line."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from carafe_pallas.backend import BACKENDS, Backend
from carafe_pallas.call import Launch

from carafe_jax.errors import RefusedError
from experiments.benchmarks.aot.targets import TargetName
from experiments.benchmarks.reassembly.shapes import ShapeName

Dtype = Literal["float32", "bfloat16", "float16"]
NormalizerName = Literal["none", "softmax", "sigmoid", "normalized_sigmoid"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compile the kernels for chips that are not here, and show what comes out.

    Prints a table for each chip, backend and launch, and writes it to `aot.csv`, as it
    is done. The status is 1 if something that was asked for could not be compiled, or
    breaks a rule that is told below its table; a refusal by a backend, in words, is no
    failure.
    """

    targets: tuple[TargetName, ...] = get_args(TargetName)
    """Chips to compile for."""

    backends: tuple[Backend, ...] = BACKENDS
    """Kernels to compile; a chip takes those of its platform."""

    launches: tuple[Launch, ...] = get_args(Launch)
    """The forward, the gradient of the features, the gradient of the kernels."""

    shapes: tuple[ShapeName, ...] = get_args(ShapeName)
    """Maps, by the names of the `reassembly` benchmark."""

    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16")
    """Of features, kernels and cotangent."""

    normalizers: tuple[NormalizerName, ...] = ("none", "softmax")
    """What the launch applies to the kernels; none: they come normalised."""

    kernel_size: int = 5
    """Side of the windows, odd."""

    groups: int = 1
    """Groups of channels with kernels of their own."""

    quick: bool = False
    """Compile fpn_p3_up only, with the softmax in the launch."""

    limit: float = 300.0
    """Seconds that one compilation may take."""

    workers: int = 1
    """Compilers that run at once, each takes a core and about 1 GB."""

    output: Path = Path("runs/benchmarks/aot")
    """Folder of the CSV and of what the compilers said, replaced by each run."""

    keep_dumps: bool = False
    """Keep what the compilers dump, in a folder a job (TPU: 50 MB each)."""

    def __post_init__(self) -> None:
        """Refuse values that break a rule."""
        if self.limit <= 0:
            raise RefusedError(f"`limit` must be positive, got {self.limit}.")
        if self.workers < 1:
            raise RefusedError(f"`workers` must be at least 1, got {self.workers}.")
        for name in (
            "targets",
            "backends",
            "launches",
            "shapes",
            "dtypes",
            "normalizers",
        ):
            if not getattr(self, name):
                raise RefusedError(f"`{name}` must name at least one, got none.")

    @property
    def effective(self) -> "Config":
        """The configuration with `quick` applied."""
        if not self.quick:
            return self
        return dataclasses.replace(self, shapes=QUICK_SHAPES, normalizers=("softmax",))


QUICK_SHAPES: tuple[ShapeName, ...] = ("fpn_p3_up",)
