"""The interface of a backend, and the import of its module."""

from typing import Any, Literal, Protocol, get_args

from jaxtyping import Array, DTypeLike

from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry

Backend = Literal["mosaic_tpu", "mosaic_gpu", "triton"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

# By platform as JAX names it.
PLATFORMS: dict[str, tuple[Backend, ...]] = {
    "tpu": ("mosaic_tpu",),
    "cuda": ("mosaic_gpu", "triton"),
}


class BackendModule(Protocol):
    """The interface of a backend: three launches, their block sizes and its refusals.

    `KERNELS_BY_PIXEL` is true if the backend takes normalised kernels, and returns
    their gradient, by output pixel instead of by anchor (see `carafe_pallas.call`).
    """

    __name__: str
    KERNELS_BY_PIXEL: bool
    # Any: each backend has its own class of configurations.
    TuningConfig: type[Any]

    def heuristic(self, call: Call, launch: Launch) -> Any:
        """Return the default configuration, for a launch that has not been tuned."""
        ...

    def refusal(self, call: Call) -> str | None:
        """Return why the launches cannot run the call; None if they can."""
        ...

    def reassemble(
        self,
        features: Array,
        kernels: Array,
        *,
        geometry: Geometry,
        normalizer: Normalizer | None,
        dtype: DTypeLike,
        config: Any = None,
        interpret: bool = False,
    ) -> Array:
        """Return the sum of each window of the features, weighted by its kernel."""
        ...

    def grad_features(
        self,
        kernels: Array,
        cotangent: Array,
        *,
        geometry: Geometry,
        normalizer: Normalizer | None,
        dtype: DTypeLike,
        config: Any = None,
        interpret: bool = False,
    ) -> Array:
        """Return the gradient of the features."""
        ...

    def grad_kernels(
        self,
        features: Array,
        cotangent: Array,
        logits: Array | None,
        *,
        geometry: Geometry,
        normalizer: Normalizer | None,
        dtype: DTypeLike,
        config: Any = None,
        interpret: bool = False,
    ) -> Array:
        """Return the gradient of the kernels, or of the logits with a normalizer."""
        ...


def platform_of(backend: Backend) -> str:
    """Return the platform that a backend compiles for."""
    return next(name for name, backends in PLATFORMS.items() if backend in backends)


def module_of(backend: Backend) -> BackendModule:
    """Import the module of a backend."""
    # Here, so that a program does not import the compilers of other platforms.
    match backend:
        case "mosaic_tpu":
            from carafe_pallas import mosaic_tpu

            return mosaic_tpu
        case "mosaic_gpu":
            from carafe_pallas import mosaic_gpu

            return mosaic_gpu
        case "triton":
            from carafe_pallas import triton

            return triton
