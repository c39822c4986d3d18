"""Convolution whose kernel gradient is fast on CPUs, too."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.sharding.mesh import mesh_of

_NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
Padding = str | tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class _Fields:
    """Fields of a convolution, as `lax.conv_general_dilated` takes them."""

    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    precision: Any


@no_type_check
def convolve(
    x: Array,
    kernel: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """Return `lax.conv_general_dilated` of the same arguments.

    For CPUs, XLA compiles the gradient of a kernel as a convolution whose window is the
    map: a training step of a small Mask R-CNN takes four times as long as with products
    of matrices, one for each tap (`_kernel_gradient`). Convolutions of (n, h, w, c)
    maps without groups have such a gradient here. On other platforms, and on a mesh of
    more than one device, the gradient is XLA's. Forward-mode differentiation is not
    supported where the gradient is defined here.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    mesh = mesh_of([x, kernel])
    plain = (
        (mesh is None or mesh.size == 1)
        and x.ndim == 4
        and feature_group_count == batch_group_count == 1
        and all(step == 1 for step in lhs_dilation or ())
        and preferred_element_type is None
        and lax.conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers)
        == _NHWC
    )
    if not plain:
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
        )
    fields = _Fields(
        tuple(window_strides),
        padding if isinstance(padding, str) else tuple((a, b) for a, b in padding),
        tuple(rhs_dilation or (1, 1)),
        precision,
    )
    return _convolve(fields, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve(fields: _Fields, x: Array, kernel: Array) -> Array:
    return _native(fields, x, kernel)


def _native(fields: _Fields, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        fields.strides,
        fields.padding,
        rhs_dilation=fields.dilation,
        dimension_numbers=_NHWC,
        precision=fields.precision,
    )


def _forward(
    fields: _Fields, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(fields, x, kernel), (x, kernel)


def _backward(
    fields: _Fields, residuals: tuple[Array, Array], grad: Array | np.ndarray
) -> tuple[Array, Array]:
    x, kernel = residuals
    grad = jnp.asarray(grad)

    def of_x(x: Array) -> Array:
        return _native(fields, x, kernel)

    def grad_kernel_of_xla(x: Array, grad: Array) -> Array:
        return _transposed(functools.partial(_native, fields, x), kernel, grad)

    by_taps = functools.partial(_kernel_gradient, fields, kernel)
    platform_dependent: Any = lax.platform_dependent  # Its branches are not typed.
    grad_kernel = platform_dependent(x, grad, cpu=by_taps, default=grad_kernel_of_xla)
    return _transposed(of_x, x, grad), grad_kernel


_convolve.defvjp(_forward, _backward)


def _transposed(linear: Callable[[Array], Array], x: Array, grad: Array) -> Array:
    # JAX does not type it.
    transpose = cast(Any, jax.linear_transpose)(linear, x)
    return cast(Array, transpose(grad)[0])


def _kernel_gradient(
    fields: _Fields,
    kernel: Float[Array, "kh kw c f"],
    x: Float[Array, "n h w c"],
    grad: Float[Array, "n oh ow f"],
) -> Float[Array, "kh kw c f"]:
    """Return the sum over output pixels of source pixel times gradient, for each tap.

    Args:
      fields: Fields of the convolution.
      kernel: Kernel of the convolution, for shape and dtype.
      x: Source map.
      grad: Gradient of the output.
    """
    rows, columns, channels, features = kernel.shape
    n, height, width, _ = grad.shape
    if 0 in grad.shape:
        return jnp.zeros_like(kernel)
    (stride_y, stride_x), (dilation_y, dilation_x) = fields.strides, fields.dilation
    padding = fields.padding
    if isinstance(padding, str):
        window = [
            (side - 1) * step + 1
            for side, step in zip(kernel.shape[:2], fields.dilation, strict=True)
        ]
        padding = lax.padtype_to_pads(x.shape[1:3], window, fields.strides, padding)
    outer = [(low, high, 0) for low, high in padding]
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *outer, (0, 0, 0)])
    taps: list[Array] = []
    for top in range(0, rows * dilation_y, dilation_y):
        for left in range(0, columns * dilation_x, dilation_x):
            bottom = top + (height - 1) * stride_y + 1
            right = left + (width - 1) * stride_x + 1
            source = padded[:, top:bottom:stride_y, left:right:stride_x]
            product = lax.dot_general(
                source.reshape(n * height * width, channels),
                grad.reshape(n * height * width, features),
                (((0,), (0,)), ((), ())),
                precision=fields.precision,
                preferred_element_type=wide_dtype(x.dtype),
            )
            taps.append(product.astype(kernel.dtype))
    return jnp.stack(taps).reshape(kernel.shape)
