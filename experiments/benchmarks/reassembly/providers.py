"""What is timed: the operator, the formulation it replaces, and two yardsticks."""

import dataclasses
import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

import carafe_jax
from carafe_jax.ops import Implementation
from experiments.benchmarks.reassembly.config import Mode, ProviderName
from experiments.benchmarks.reassembly.shapes import Shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operands:
    """The arrays of one call."""

    features: Float[Array, "n h w c"]
    kernels: Float[Array, "n oh ow g taps"]
    cotangent: Float[Array, "n oh ow c"]

    def bytes_moved(self, mode: Mode) -> int:
        """Count each array of a call once, and in the backward its gradient too."""
        arrays = (self.features, self.kernels, self.cotangent)
        forward = sum(array.nbytes for array in arrays)
        return forward if mode == "forward" else 2 * forward


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computation:
    """A function to compile, and the arguments to time it with."""

    provider: str
    function: Callable[..., Array | tuple[Array, ...]]
    arguments: tuple[Array, ...]
    bytes_moved: int

    @property
    def family(self) -> str:
        """The provider's name without the implementation: "carafe:xla" is carafe."""
        return self.provider.partition(":")[0]


def make_operands(
    shape: Shape, *, kernel_size: int, groups: int, dtype: str
) -> Operands:
    """Draw features, cotangent and softmax-normalised kernels."""
    keys = jax.random.split(jax.random.key(0), 3)
    logits = jax.random.normal(
        keys[1], shape.kernels(kernel_size=kernel_size, groups=groups)
    )
    return Operands(
        features=jax.random.normal(keys[0], shape.features).astype(dtype),
        kernels=jax.nn.softmax(logits).astype(dtype),
        cotangent=jax.random.normal(keys[2], shape.output).astype(dtype),
    )


def computations(
    provider: ProviderName, operands: Operands, *, scale: Fraction, mode: Mode
) -> list[Computation]:
    """Make what a provider runs: several for `carafe` on an accelerator."""
    match provider:
        case "carafe":
            return [
                _with_kernels(
                    "carafe" if name is None else f"carafe:{name}",
                    functools.partial(
                        carafe_jax.reassemble, scale=scale, implementation=name
                    ),
                    operands,
                    mode,
                )
                for name in _implementations()
            ]
        case "stacked":
            function = functools.partial(reassemble_stacked, scale=scale)
            return [_with_kernels("stacked", function, operands, mode)]
        case "nearest":
            return [_nearest(operands, scale, mode)]
        case "copy":
            return [_copy(operands, mode)]


def reassemble_stacked(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
    *,
    scale: Fraction,
) -> Float[Array, "n oh ow c"]:
    """Reassemble by stacking the k*k patches and `einsum`.

    For a whole scale the patches stay at the source's resolution, which is the cheapest
    that this formulation can be; else each output pixel has its own.
    """
    n, h, w, c = features.shape
    _, oh, ow, groups, taps = kernels.shape
    up = scale.numerator if scale.denominator == 1 else 1
    k = math.isqrt(taps)
    padded = jnp.pad(features, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    near_rows = [_shift(padded, 1, dy, h, scale) for dy in range(k)]
    patches = [_shift(row, 2, dx, w, scale) for row in near_rows for dx in range(k)]
    stack = jnp.stack(patches, axis=3)
    out = jnp.einsum(
        "nyxtgc,nypxqgt->nypxqgc",
        stack.reshape(*stack.shape[:4], groups, c // groups),
        kernels.reshape(n, oh // up, up, ow // up, up, groups, taps),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=jnp.promote_types(features.dtype, jnp.float32),
    )
    return out.reshape(n, oh, ow, c).astype(features.dtype)


def _shift(
    padded: Float[Array, "n y x c"], axis: int, shift: int, size: int, scale: Fraction
) -> Float[Array, "n sy sx c"]:
    """Read the pixels `shift` after the padded map's source pixels, along one axis."""
    if 1 in (scale.numerator, scale.denominator):
        stride = scale.denominator
        return lax.slice_in_dim(padded, shift, shift + size, stride, axis)
    return jnp.take(padded, shift + _sources(size, scale), axis=axis, mode="clip")


def _sources(size: int, scale: Fraction) -> np.ndarray:
    """Source pixel of each output pixel along an axis."""
    return np.arange(math.ceil(size * scale)) * scale.denominator // scale.numerator


def _resample_nearest(
    features: Float[Array, "n h w c"], *, scale: Fraction
) -> Float[Array, "n oh ow c"]:
    if scale.denominator == 1:
        rows = jnp.repeat(features, scale.numerator, axis=1)
        return jnp.repeat(rows, scale.numerator, axis=2)
    if scale.numerator == 1:
        return features[:, :: scale.denominator, :: scale.denominator]
    for axis in (1, 2):
        sources = _sources(features.shape[axis], scale)
        features = jnp.take(features, sources, axis=axis, mode="clip")
    return features


def _with_kernels(
    provider: str, function: Callable[..., Array], operands: Operands, mode: Mode
) -> Computation:
    arguments = (operands.features, operands.kernels)
    return Computation(
        provider=provider,
        **_in_mode(function, arguments, operands.cotangent, mode),
        bytes_moved=operands.bytes_moved(mode),
    )


def _nearest(operands: Operands, scale: Fraction, mode: Mode) -> Computation:
    function = functools.partial(_resample_nearest, scale=scale)
    whole, out = operands.features.nbytes, operands.cotangent.nbytes
    forward = min(whole, out) + out  # Down-sampling reads only what it keeps.
    return Computation(
        provider="nearest",
        **_in_mode(function, (operands.features,), operands.cotangent, mode),
        bytes_moved=forward if mode == "forward" else forward + out + whole,
    )


def _copy(operands: Operands, mode: Mode) -> Computation:
    moved = operands.bytes_moved(mode)
    dtype = operands.features.dtype
    # Half of the bytes are read and half are written. On a CPU fresh memory is the
    # dearer half, so that down-sampling, which writes little, can beat the copy.
    source = jnp.ones(max(1, moved // 2 // dtype.itemsize), dtype)
    return Computation(
        provider="copy", function=jnp.copy, arguments=(source,), bytes_moved=moved
    )


def _in_mode(
    function: Callable[..., Array],
    arguments: tuple[Array, ...],
    cotangent: Array,
    mode: Mode,
) -> dict:
    if mode == "forward":
        return {"function": function, "arguments": arguments}

    def with_gradients(*arrays: Array) -> tuple[Array, ...]:
        # The output is returned too: without it the forward would be dead code.
        out, vjp = jax.vjp(function, *arrays[:-1])
        return out, *vjp(arrays[-1])

    return {"function": with_gradients, "arguments": (*arguments, cotangent)}


def _implementations() -> tuple[Implementation | None, ...]:
    """On a CPU there is one; elsewhere also each by name, to compare them."""
    if jax.default_backend() == "cpu":
        return (None,)
    return None, *get_args(Implementation)
