"""The three launches of a reassembly, by any implementation and on any mesh.

Kernels are given by output pixel, (n, oh, ow, groups, taps). If the launches normalise
them (`Spec.normalizer`), they are the logits that the content encoder predicts, by
anchor: (n, ah, aw, phases, groups * taps).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry
from jaxtyping import Array

from carafe_jax.ops import dispatch, sharding
from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.reassembly import xla
from carafe_jax.ops.reassembly.device_launch import DeviceLaunch
from carafe_jax.ops.sharding import FEATURES, KERNELS, LOGITS, OUTPUT, Layout, Operand

_Function = TypeVar("_Function", bound=Callable[..., Array])


@dataclasses.dataclass(frozen=True)
class Spec:
    """The static arguments of a reassembly; its output has `features_dtype`."""

    geometry: Geometry
    features_dtype: jnp.dtype
    kernels_dtype: jnp.dtype
    normalizer: Normalizer | None = None
    implementation: dispatch.Implementation | None = None
    axes: sharding.Axes = sharding.Axes()
    interpret: bool = False

    @property
    def kernels_layout(self) -> Layout:
        """Layout of the kernels, or of their logits if the launches normalise them."""
        return KERNELS if self.normalizer is None else LOGITS


def _compiled(launch: _Function) -> _Function:
    """Compile a launch by `jax.jit`, but keep its static type."""
    return cast(_Function, jax.jit(launch, static_argnums=0))


@_compiled
def reassemble(spec: Spec, features: Array, kernels: Array) -> Array:
    """Return the sum of each window of the features, weighted by its kernel."""
    operands = ((features, FEATURES), (kernels, spec.kernels_layout))
    return _run("reassemble", spec, xla.reassemble, operands, OUTPUT)


@_compiled
def grad_features(spec: Spec, kernels: Array, cotangent: Array) -> Array:
    """Return the gradient of the features, gathered from the windows over a pixel."""
    operands = ((kernels, spec.kernels_layout), (cotangent, OUTPUT))
    return _run("grad_features", spec, xla.grad_features, operands, FEATURES)


@_compiled
def grad_kernels(
    spec: Spec, features: Array, cotangent: Array, *logits: Array
) -> Array:
    """Return the gradient of the kernels: dot products over the channels.

    With a normalizer, it takes the `logits` as well, and returns their gradient.
    """
    layout = spec.kernels_layout
    operands = ((features, FEATURES), (cotangent, OUTPUT))
    operands += tuple((x, layout) for x in logits)
    return _run("grad_kernels", spec, xla.grad_kernels, operands, layout)


def _run(
    name: Launch,
    spec: Spec,
    by_xla: Callable[..., Array],
    operands: tuple[Operand, ...],
    result: Layout,
) -> Array:
    """Run one launch on each device's shards of the operands."""
    parts = sharding.partition(operands, geometry=spec.geometry, axes=spec.axes)
    dtype = spec.features_dtype if result.channels else spec.kernels_dtype
    call = _call(spec, parts)
    shape = result.shape(call.geometry, examples=call.batch, channels=call.channels)
    # Partial results are rounded after they are summed over devices.
    own_dtype = wide_dtype(dtype) if parts.sums(result) else dtype
    run = functools.partial(
        dispatch.run,
        DeviceLaunch(name, by_xla, call, jax.ShapeDtypeStruct(shape, own_dtype)),
        implementation=spec.implementation,
        device_kind=_device_kind([array for array, _ in operands]),
        interpret=spec.interpret,
    )
    return sharding.run_on_shards(run, operands, result, parts, dtype=dtype)


def _call(spec: Spec, parts: sharding.Partition) -> Call:
    """Describe the reassembly of one shard."""
    return Call(
        geometry=parts.geometry,
        batch=parts.examples,
        channels=parts.channels,
        features_dtype=spec.features_dtype,
        kernels_dtype=spec.kernels_dtype,
        normalizer=spec.normalizer,
    )


def _device_kind(arrays: list[Array]) -> str | None:
    """Return the kind of the device that is compiled for; None if unknown."""
    kind = sharding.device_kind(arrays)
    if kind is None and jax.default_backend() != "cpu":
        return cast(str, jax.local_devices()[0].device_kind)
    return kind
