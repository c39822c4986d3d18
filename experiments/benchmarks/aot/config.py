"""Options of the command line."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from carafe_pallas.backend import BACKENDS, Backend
from carafe_pallas.call import Launch

from carafe_jax.errors import RefusedError
from experiments.benchmarks.aot.chips import ChipName
from experiments.benchmarks.reassembly.shapes import ShapeName

Dtype = Literal["float32", "bfloat16", "float16"]
NormalizerName = Literal["none", "softmax", "sigmoid", "normalized_sigmoid"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compile the launches ahead of time, without the chips, and report on the code.

    As soon as they are compiled, prints a table for each chip, backend and launch, and
    adds it to `aot.csv`. The exit status is 1 if a compiler is missing, a compilation
    fails, or the code breaks a rule that is reported below its table. A job that its
    backend does not support counts as refused, not as failed.
    """

    chips: tuple[ChipName, ...] = get_args(ChipName)
    """Chips to compile for."""

    backends: tuple[Backend, ...] = BACKENDS
    """Backends to compile; each chip takes those of its platform."""

    launches: tuple[Launch, ...] = get_args(Launch)
    """Launches: forward, gradient of the features, gradient of the kernels."""

    shapes: tuple[ShapeName, ...] = get_args(ShapeName)
    """Feature maps, by the names of the `reassembly` benchmark."""

    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16")
    """Dtypes of features, kernels and cotangent."""

    normalizers: tuple[NormalizerName, ...] = ("none", "softmax")
    """Normalizers that the launch applies to the kernels; none: they are already
    normalised."""

    kernel_size: int = 5
    """Size of the reassembly kernels, odd."""

    groups: int = 1
    """Groups of channels, each with its own kernels."""

    quick: bool = False
    """Compile fpn_p3_up alone, with the softmax in the launch."""

    limit: float = 300.0
    """Timeout of each compilation, in seconds."""

    workers: int = 1
    """Compilers that run in parallel; each takes a core and about 1 GB."""

    output: Path = Path("runs/benchmarks/aot")
    """Folder of the CSV and of the compilers' logs, replaced by each run."""

    keep_dumps: bool = False
    """Keep the compilers' dumps, in a folder for each job (TPU: 50 MB each)."""

    def __post_init__(self) -> None:
        """Raise if a value breaks a rule."""
        if self.limit <= 0:
            raise RefusedError(f"`limit` must be positive, got {self.limit}.")
        if self.workers < 1:
            raise RefusedError(f"`workers` must be at least 1, got {self.workers}.")
        for name in (
            "chips",
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
