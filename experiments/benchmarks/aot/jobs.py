"""Compilations: a launch of a backend, for a chip, at the sizes of a real map."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import jax.numpy as jnp
from carafe_pallas import support
from carafe_pallas.backend import Backend
from carafe_pallas.call import Call, Launch
from carafe_pallas.geometry import Geometry

from experiments.benchmarks.aot.chips import CHIPS, ChipName
from experiments.benchmarks.aot.config import Config, Dtype, NormalizerName
from experiments.benchmarks.reassembly.shapes import SHAPES, ShapeName

Shapes = dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One compilation."""

    chip: ChipName
    backend: Backend
    launch: Launch
    shape: ShapeName
    dtype: Dtype
    normalizer: NormalizerName
    kernel_size: int = 5
    groups: int = 1

    def __str__(self) -> str:
        return "-".join(map(str, dataclasses.astuple(self)[:6]))

    @functools.cached_property
    def call(self) -> Call:
        """The call that the backends receive."""
        shape = SHAPES[self.shape]
        n, h, w, c = shape.features
        dtype = jnp.dtype(self.dtype)
        return Call(
            geometry=Geometry.of(
                h,
                w,
                scale=shape.scale,
                kernel_size=self.kernel_size,
                groups=self.groups,
            ),
            batch=n,
            channels=c,
            features_dtype=dtype,
            kernels_dtype=dtype,
            normalizer=None if self.normalizer == "none" else self.normalizer,
        )

    @property
    def arguments(self) -> Shapes:
        """Shapes of the arrays that the launch reads."""
        arrays = self._arrays
        match self.launch:
            case "reassemble":
                names = ("features", "kernels")
            case "grad_features":
                names = ("kernels", "cotangent")
            case "grad_kernels":
                names = ("features", "cotangent", "logits")
                if self.normalizer == "none":
                    names = names[:2]
        return {name: arrays[name] for name in names}

    @property
    def result(self) -> tuple[int, ...]:
        """Shape of the array that the launch writes."""
        names: dict[Launch, str] = {
            "reassemble": "cotangent",
            "grad_features": "features",
            "grad_kernels": "kernels",
        }
        return self._arrays[names[self.launch]]

    @property
    def fewest_bytes(self) -> int:
        """Minimum memory traffic in bytes: each array of the launch once."""
        elements = sum(map(_size, (*self.arguments.values(), self.result)))
        return elements * jnp.dtype(self.dtype).itemsize

    @property
    def _arrays(self) -> Shapes:
        shape, groups = SHAPES[self.shape], self.groups
        logits: tuple[int, ...] = shape.logits(
            kernel_size=self.kernel_size, groups=groups
        )
        kernels = logits
        if support.takes_pixels(self.backend, self.call):
            kernels = (*shape.output[:3], groups, self.kernel_size**2)
        return {
            "features": shape.features,
            "kernels": kernels,
            "logits": logits,
            "cotangent": shape.output,
        }


def _size(shape: tuple[int, ...]) -> int:
    return functools.reduce(int.__mul__, shape, 1)


def make_jobs(config: Config) -> Iterator[Job]:
    """Yield all combinations, grouped by chip."""
    for chip in config.chips:
        own = CHIPS[chip].backends
        backends: list[Backend] = [
            backend for backend in config.backends if backend in own
        ]
        for backend, launch, shape, dtype, normalizer in itertools.product(
            backends, config.launches, config.shapes, config.dtypes, config.normalizers
        ):
            yield Job(
                chip=chip,
                backend=backend,
                launch=launch,
                shape=shape,
                dtype=dtype,
                normalizer=normalizer,
                kernel_size=config.kernel_size,
                groups=config.groups,
            )
