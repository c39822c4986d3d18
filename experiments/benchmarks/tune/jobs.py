"""The launches to tune, their arrays, and their expected results."""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from carafe_pallas import support, tuning
from carafe_pallas.backend import Backend, BackendModule, module_of
from carafe_pallas.call import Call, Launch
from carafe_pallas.geometry import Geometry
from jaxtyping import Array

from carafe_jax import ops
from carafe_jax.errors import RefusedError
from carafe_jax.ops.reassembly.layouts import to_pixels
from experiments.benchmarks.reassembly.platforms import backends
from experiments.benchmarks.reassembly.shapes import SHAPES, Shape
from experiments.benchmarks.tune.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One launch of one backend for one call."""

    backend: Backend
    launch: Launch
    shape: Shape
    call: Call

    def __str__(self) -> str:
        call = self.call
        options = f"{call.features_dtype}, {call.normalizer}"
        return f"{self.backend} {self.launch}, {self.shape.name}, {options}"

    @property
    def module(self) -> BackendModule:
        """Module of the backend."""
        return module_of(self.backend)

    @property
    def key(self) -> str:
        """Key of the entry with its configuration."""
        return tuning.entry_key(self.backend, self.call, self.launch)

    def arrays(self) -> tuple[Array, Array, Array]:
        """Draw features, kernels in the layout of the launch, and a cotangent."""
        geometry, dtype = self.call.geometry, self.call.features_dtype
        keys = jax.random.split(jax.random.key(0), 3)
        size = {"kernel_size": geometry.kernel_size, "groups": geometry.groups}
        shapes = self.shape.features, self.shape.logits(**size), self.shape.output
        features, kernels, cotangent = (
            jax.random.normal(key, shape).astype(dtype)
            for key, shape in zip(keys, shapes, strict=True)
        )
        if self._by_pixel:
            kernels = to_pixels(kernels, geometry)
        return features, kernels, cotangent

    @property
    def _by_pixel(self) -> bool:
        return support.takes_pixels(self.backend, self.call)

    def run(
        self, config: Any, features: Array, kernels: Array, cotangent: Array
    ) -> Array:
        """Run the launch."""
        fields = {
            "geometry": self.call.geometry,
            "normalizer": self.call.normalizer,
            "dtype": self.call.features_dtype,
            "config": config,
        }
        launch = getattr(self.module, self.launch)
        match self.launch:
            case "reassemble":
                return launch(features, kernels, **fields)
            case "grad_features":
                return launch(kernels, cotangent, **fields)
            case "grad_kernels":
                logits = None if self.call.normalizer is None else kernels
                return launch(features, cotangent, logits, **fields)

    def expected(self, features: Array, kernels: Array, cotangent: Array) -> Array:
        """Return the result of plain JAX."""
        out, vjp = jax.vjp(self._plain(), features, kernels)
        match self.launch:
            case "reassemble":
                return out
            case "grad_features":
                return vjp(cotangent)[0]
            case "grad_kernels":
                return vjp(cotangent)[1]

    def _plain(self) -> Callable[[Array, Array], Array]:
        geometry, scale = self.call.geometry, self.shape.scale
        if self.call.normalizer is not None:
            return functools.partial(
                ops.reassemble_logits,
                kernel_size=geometry.kernel_size,
                groups=geometry.groups,
                normalizer=self.call.normalizer,
                scale=scale,
                implementation="xla",
            )

        def reassemble(features: Array, kernels: Array) -> Array:
            if not self._by_pixel:
                kernels = to_pixels(kernels, geometry)
            return ops.reassemble(features, kernels, scale=scale, implementation="xla")

        return reassemble


def jobs_of(config: Config) -> list[Job]:
    """Return the launches that a configuration selects, one for each entry.

    Raises:
      RefusedError: The platform has no backends, or not those selected.
    """
    here = backends()
    if not here:
        raise RefusedError(
            "Tuning times the backends of a platform, and the one at hand has none, "
            f"{jax.default_backend()!r}: it needs a GPU or a TPU."
        )
    selected = here if config.backends is None else config.backends
    if not set(selected) <= set(here):
        names = ", ".join(map(repr, here))
        raise RefusedError(
            f"`backends` must be of the platform at hand, {names}, got {selected}."
        )
    options = itertools.product(
        selected, config.shapes, config.dtypes, config.normalizers, config.launches
    )
    jobs = [
        Job(
            backend=backend,
            launch=launch,
            shape=SHAPES[name],
            call=_call(SHAPES[name], dtype, normalizer, config),
        )
        for backend, name, dtype, normalizer, launch in options
    ]
    return list({job.key: job for job in jobs}.values())


def _call(shape: Shape, dtype: str, normalizer: Any, config: Config) -> Call:
    n, h, w, c = shape.features
    geometry = Geometry.of(
        h,
        w,
        scale=shape.scale,
        kernel_size=config.kernel_size,
        groups=config.groups,
    )
    return Call(
        geometry=geometry,
        batch=n,
        channels=c,
        features_dtype=jnp.dtype(dtype),
        kernels_dtype=jnp.dtype(dtype),
        normalizer=None if normalizer == "none" else normalizer,
    )
