"""The three launches of a reassembly, on whatever runs them and on any mesh.

Kernels come by output pixel, (n, oh, ow, groups, taps), normalised. Where the launches
are to normalise them (`Spec.normalizer`), they come as the content encoder predicts
them, by anchor: (n, ah, aw, phases, groups * taps).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from carafe_pallas import normalizers, support, tuning
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Geometry, Size
from jaxtyping import Array

from carafe_jax.ops import _platforms, _sharding, _xla
from carafe_jax.ops._dtypes import wide_dtype
from carafe_jax.ops._layout import to_anchors, to_pixels
from carafe_jax.ops._sharding import FEATURES, OUTPUT


@dataclasses.dataclass(frozen=True)
class Spec:
    """The static part of a reassembly.

    Dtypes are those of the two factors; the output has the dtype of the features.
    """

    geometry: Geometry
    features_dtype: jnp.dtype
    kernels_dtype: jnp.dtype
    normalizer: Normalizer | None = None
    implementation: str | None = None
    axes: _sharding.Axes = _sharding.Axes()
    interpret: bool = False

    @property
    def kernels_layout(self) -> _sharding.Layout:
        """Layout of the kernels."""
        return _sharding.KERNELS if self.normalizer is None else _sharding.LOGITS


# A call outside `jax.jit` is compiled as well.
_compiled = _xla.compiled(static_argnums=0)


@_compiled
def reassemble(spec: Spec, features: Array, kernels: Array) -> Array:
    """Sum each window of the features, weighted by its kernel."""

    def xla(share: Spec, dtype: Any, features: Array, kernels: Array) -> Array:
        kernels = _by_pixel(share, kernels)
        return _xla.reassemble(features, kernels, geometry=share.geometry, dtype=dtype)

    def kernel(
        share: Spec, by_pixel: bool, launch: Any, features: Array, kernels: Array
    ) -> Array:
        return launch(features, kernels if by_pixel else _by_anchor(share, kernels))

    operands = ((features, FEATURES), (kernels, spec.kernels_layout))
    return _run("reassemble", spec, xla, kernel, operands, OUTPUT)


@_compiled
def grad_features(spec: Spec, kernels: Array, cotangent: Array) -> Array:
    """Gather for each source pixel what the windows over it received."""

    def xla(share: Spec, dtype: Any, kernels: Array, cotangent: Array) -> Array:
        kernels = _by_pixel(share, kernels)
        return _xla.grad_features(
            kernels, cotangent, geometry=share.geometry, dtype=dtype
        )

    def kernel(
        share: Spec, by_pixel: bool, launch: Any, kernels: Array, cotangent: Array
    ) -> Array:
        return launch(kernels if by_pixel else _by_anchor(share, kernels), cotangent)

    operands = ((kernels, spec.kernels_layout), (cotangent, OUTPUT))
    return _run("grad_features", spec, xla, kernel, operands, FEATURES)


@_compiled
def grad_kernels(
    spec: Spec, features: Array, cotangent: Array, *logits: Array
) -> Array:
    """Multiply each output pixel with every pixel of its window, over the channels.

    With a normalizer, it takes the `logits` too and returns their gradient.
    """

    def xla(
        share: Spec, dtype: Any, features: Array, cotangent: Array, *logits: Array
    ) -> Array:
        run = functools.partial(_xla.grad_kernels, geometry=share.geometry)
        if not logits:
            return run(features, cotangent, dtype=dtype)
        gradient = run(features, cotangent, dtype=wide_dtype(dtype))
        return pull_back(share, gradient, *logits).astype(dtype)

    def kernel(
        share: Spec,
        by_pixel: bool,
        launch: Any,
        features: Array,
        cotangent: Array,
        *logits: Array,
    ) -> Array:
        if logits:
            gradient = launch(features, cotangent, _by_anchor(share, logits[0]))
            return gradient.reshape(logits[0].shape)
        gradient = launch(features, cotangent, None)
        return gradient if by_pixel else to_pixels(gradient, share.geometry)

    layout = spec.kernels_layout
    operands = ((features, FEATURES), (cotangent, OUTPUT))
    operands += tuple((x, layout) for x in logits)
    return _run("grad_kernels", spec, xla, kernel, operands, layout)


def _run(
    name: Launch,
    spec: Spec,
    xla: Callable[..., Array],
    kernel: Callable[..., Array],
    operands: tuple[tuple[Array, _sharding.Layout], ...],
    result: _sharding.Layout,
) -> Array:
    """Run one of the two on each device's share of the operands.

    They are called with the share's spec, then the dtype of the result, or whether the
    backend's launch takes kernels by pixel and the launch, then the operands.
    """
    dtype = spec.features_dtype if result.channels else spec.kernels_dtype
    device_kind = _device_kind([array for array, _ in operands])

    def on_share(*shares: Array, geometry: Geometry, partial: bool) -> Array:
        share = dataclasses.replace(spec, geometry=geometry)
        # What is still to be summed is not rounded before.
        own = wide_dtype(dtype) if partial else dtype
        width = [
            x.shape[3]
            for x, (_, layout) in zip(shares, operands, strict=True)
            if layout.channels
        ]
        call = _call(share, batch=shares[0].shape[0], channels=width[0])
        shape = result.shape(geometry, examples=call.batch, channels=call.channels)

        def on_backend(backend: support.Backend, *shares: Array) -> Array:
            module = support.module_of(backend)
            launch = functools.partial(
                getattr(module, name),
                geometry=geometry,
                normalizer=spec.normalizer,
                dtype=own,
                config=tuning.config_for(module, call, name, device_kind=device_kind),
                interpret=spec.interpret,
            )
            by_pixel = support.takes_pixels(backend, call)
            return kernel(share, by_pixel, launch, *shares)

        return _platforms.run(
            functools.partial(xla, share, own),
            on_backend,
            shares,
            call=call,
            result=jax.ShapeDtypeStruct(shape, own),
            implementation=spec.implementation,
            device_kind=device_kind,
            interpret=spec.interpret,
        )

    return _sharding.per_shard(
        on_share,
        operands,
        result,
        geometry=spec.geometry,
        axes=spec.axes,
        dtype=dtype,
    )


def _call(spec: Spec, *, batch: Size, channels: int) -> Call:
    return Call(
        geometry=spec.geometry,
        batch=batch,
        channels=channels,
        features_dtype=spec.features_dtype,
        kernels_dtype=spec.kernels_dtype,
        normalizer=spec.normalizer,
    )


def _by_pixel(spec: Spec, kernels: Array) -> Array:
    if spec.normalizer is None:
        return kernels
    return to_pixels(normalize(spec, kernels), spec.geometry)


def _by_anchor(spec: Spec, kernels: Array) -> Array:
    if spec.normalizer is None:
        return to_anchors(kernels, spec.geometry)
    return kernels.reshape(*kernels.shape[:3], kernels.shape[3] * kernels.shape[4])


def normalize(spec: Spec, logits: Array) -> Array:
    """Normalise logits over their taps, in float32 at least; round once."""
    assert spec.normalizer is not None
    kernels = normalizers.normalize(_taps_last(spec, logits), spec.normalizer)
    channels = kernels.shape[3] * kernels.shape[4]  # -1 fails on empty batches.
    return kernels.reshape(*logits.shape[:3], channels).astype(spec.kernels_dtype)


def pull_back(spec: Spec, gradient: Array, logits: Array) -> Array:
    """Turn the gradient of kernels by pixel into that of their logits, by anchor."""
    assert spec.normalizer is not None
    gradient = _taps_last(spec, to_anchors(gradient, spec.geometry))
    gradient = normalizers.pull_back(
        gradient, _taps_last(spec, logits), spec.normalizer
    )
    return gradient.reshape(logits.shape)


def _taps_last(spec: Spec, x: Array) -> Array:
    """Return (n, ah, aw, pixels, taps) in float32 at least."""
    geometry = spec.geometry
    pixels = geometry.rows.up * geometry.columns.up * geometry.groups
    shape = (*x.shape[:3], pixels, geometry.kernel_size**2)
    return x.reshape(shape).astype(wide_dtype(x.dtype))


def _device_kind(arrays: list[Array]) -> str | None:
    """Return the kind of device that is compiled for, so far as it is known."""
    kind = _sharding.device_kind(arrays)
    if kind is None and jax.default_backend() != "cpu":
        return cast(str, jax.local_devices()[0].device_kind)
    return kind
