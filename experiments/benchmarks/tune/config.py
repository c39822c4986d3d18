"""The options of the command line."""

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
    """Search for the best configuration of the kernels for each call.

    Writes `tuned/<device>.json` in the package of the kernels, which reads it; entries
    of other calls stay. The file is renewed after each call, so that a run that is
    stopped keeps what it found.
    """

    shapes: tuple[ShapeName, ...] = LARGE
    """Calls; an entry serves any batch of the same map."""

    launches: tuple[Launch, ...] = get_args(Launch)
    """Forward, and the two gradients."""

    dtypes: tuple[Dtype, ...] = ("bfloat16", "float32")
    """Of features and kernels."""

    normalizers: tuple[NormalizerName, ...] = ("none", "softmax")
    """What the launches apply to the kernels; none: they are normalised already."""

    backends: tuple[Backend, ...] | None = None
    """Kernels to tune; by default all that there are for the accelerator at hand."""

    kernel_size: int = 5
    """Side of the windows, odd."""

    groups: int = 1
    """Groups of channels with kernels of their own."""

    repetitions: int = 5
    """Timings of each configuration, of which the median counts."""

    seconds: float = 60.0
    """For one call; when they have passed, no further step of the search is taken."""

    workers: int = 8
    """Configurations that are compiled at the same time."""

    folder: Path | None = None
    """Where the file goes; by default where the package reads it."""

    def __post_init__(self) -> None:
        """Refuse values that break a rule."""
        for name in ("repetitions", "workers"):
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be at least 1, got {getattr(self, name)}."
                )
        for name in ("shapes", "launches", "dtypes", "normalizers"):
            if not getattr(self, name):
                raise RefusedError(f"`{name}` must name at least one, got none.")
