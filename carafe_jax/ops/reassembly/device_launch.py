"""One launch of a reassembly on one device, by plain JAX or by a backend's kernel."""

import dataclasses
import functools
from collections.abc import Callable

import jax
from carafe_pallas import support, tuning
from carafe_pallas.backend import Backend, module_of
from carafe_pallas.call import Call, Launch
from jaxtyping import Array

from carafe_jax.ops.reassembly.layouts import to_anchors, to_pixels

_KERNELS_RANK = 5  # Rank of kernels and of logits; features and output have 4.


@dataclasses.dataclass(frozen=True)
class DeviceLaunch:
    """A launch on one shard, for `carafe_jax.ops.dispatch`.

    `by_xla` is the function in plain JAX; `name` is the name of that of each backend.
    """

    name: Launch
    by_xla: Callable[..., Array]
    call: Call
    result: jax.ShapeDtypeStruct

    def plain(self, *operands: Array) -> Array:
        """Run the launch in plain JAX."""
        return self.by_xla(
            *operands,
            geometry=self.call.geometry,
            normalizer=self.call.normalizer,
            dtype=self.result.dtype,
        )

    def kernel(
        self,
        backend: Backend,
        *operands: Array,
        device_kind: str | None,
        interpret: bool,
    ) -> Array:
        """Run the launch by a backend; convert kernels to its layout and back."""
        launch = self._function(backend, device_kind=device_kind, interpret=interpret)
        by_pixel = support.takes_pixels(backend, self.call)
        own = [self._in_layout(x, by_pixel=by_pixel) for x in operands]
        if len(self.result.shape) < _KERNELS_RANK:
            return launch(*own)
        if self.call.normalizer is not None:  # The last operand is the logits.
            return launch(*own).reshape(operands[-1].shape)
        gradient = launch(*own, None)
        return gradient if by_pixel else to_pixels(gradient, self.call.geometry)

    def best_first(self, platform: str) -> tuple[Backend, ...]:
        """Return the backends of a platform, the fastest first."""
        return support.best_first(platform, self.call)

    def refusal(self, backend: Backend, *, device_kind: str | None) -> str | None:
        """Return why a backend cannot run the launch; None if it can."""
        return support.refusal(backend, self.call, device_kind=device_kind)

    def _function(
        self, backend: Backend, *, device_kind: str | None, interpret: bool
    ) -> Callable[..., Array]:
        """Return a backend's function, with all arguments bound but the arrays."""
        module = module_of(backend)
        config = tuning.config_for(
            module, self.call, self.name, device_kind=device_kind
        )
        return functools.partial(
            getattr(module, self.name),
            geometry=self.call.geometry,
            normalizer=self.call.normalizer,
            dtype=self.result.dtype,
            config=config,
            interpret=interpret,
        )

    def _in_layout(self, x: Array, *, by_pixel: bool) -> Array:
        """Return an operand with kernels or logits in the backend's layout."""
        if by_pixel or x.ndim < _KERNELS_RANK:
            return x
        if self.call.normalizer is None:
            return to_anchors(x, self.call.geometry)
        return x.reshape(*x.shape[:3], x.shape[3] * x.shape[4])
