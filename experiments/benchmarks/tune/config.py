"""Options of the command line."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from carafe_pallas.backend import Backend
from carafe_pallas.call import Launch

from carafe_jax.errors import RefusedError
from experiments.benchmarks.reassembly.config import Dtype
from experiments.benchmarks.reassembly.shapes import LARGE, ShapeName

NormalizerName = Literal["none", "softmax", "sigmoid", "normalized_sigmoid"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Search for the best configuration of each launch for each call.

    Writes `tuned/<device>.json` in the package of the kernels, which reads it; entries
    of other calls are kept. The file is rewritten after each call, so that the results
    of a run that is stopped are not lost.
    """

    shapes: tuple[ShapeName, ...] = LARGE
    """Feature maps; an entry is used for any batch size of the same map."""

    launches: tuple[Launch, ...] = get_args(Launch)
    """Launches to tune: forward and the two gradients."""

    dtypes: tuple[Dtype, ...] = ("bfloat16", "float32")
    """Dtypes of features and kernels."""

    normalizers: tuple[NormalizerName, ...] = ("none", "softmax")
    """Normalizers that the launches apply to the kernels; none: they are already
    normalised."""

    backends: tuple[Backend, ...] | None = None
    """Backends to tune; by default all of the accelerator at hand."""

    kernel_size: int = 5
    """Size of the reassembly kernels, odd."""

    groups: int = 1
    """Groups of channels, each with its own kernels."""

    repetitions: int = 5
    """Timings of each configuration, of which the median counts."""

    seconds: float = 60.0
    """Time limit of the search for one call, checked after each step of the search."""

    workers: int = 8
    """Configurations that are compiled in parallel."""

    folder: Path | None = None
    """Folder of the file; by default the one from which the package reads it."""

    def __post_init__(self) -> None:
        """Raise if a value breaks a rule."""
        for name in ("repetitions", "workers"):
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be at least 1, got {getattr(self, name)}."
                )
        for name in ("shapes", "launches", "dtypes", "normalizers"):
            if not getattr(self, name):
                raise RefusedError(f"`{name}` must name at least one, got none.")
