"""The timed programs in JAX: operator, formulation that it replaces, baselines."""

import dataclasses
import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

import carafe_jax
from carafe_jax import ops
from carafe_jax.ops import Implementation
from experiments.benchmarks.reassembly.config import Mode, ProviderName
from experiments.benchmarks.reassembly.platforms import backends
from experiments.benchmarks.reassembly.shapes import Shape

NORMALIZER = "softmax"
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operands:
    """The arrays of one call; the kernels are the normalised logits."""

    features: Float[Array, "n h w c"]
    kernels: Float[Array, "n oh ow g taps"]
    logits: Float[Array, "n ah aw channels"]
    cotangent: Float[Array, "n oh ow c"]

    def bytes_moved(self, mode: Mode) -> int:
        """Return the bytes of the arrays that a mode reads or writes, each once."""
        arrays = (self.features, self.kernels, self.cotangent)
        # A gradient swaps one array for its cotangent of the same size.
        total = sum(array.nbytes for array in arrays)
        return 2 * total if mode == "forward_backward" else total

    def bytes_moved_from_logits(self, mode: Mode) -> int:
        """Return the same bytes, with logits in place of the kernels."""
        others = self.features.nbytes + self.cotangent.nbytes
        match mode:
            case "forward" | "grad_features":
                return others + self.logits.nbytes
            case "grad_kernels":  # The logits and their gradient.
                return others + 2 * self.logits.nbytes
            case "forward_backward":
                return 2 * (others + self.logits.nbytes)

    def operations(self, mode: Mode) -> int:
        """Return a product and a sum for each tap of an output pixel and channel."""
        taps = self.kernels.shape[-1]
        return (3 if mode == "forward_backward" else 1) * 2 * taps * self.cotangent.size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computation:
    """The computation of a provider in one mode.

    `results` names its results; those of the same name must agree between providers.
    `provider` ends in a colon and the implementation if one is selected explicitly.
    """

    provider: str
    results: tuple[str, ...]
    bytes_moved: int
    operations: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class JaxComputation(Computation):
    """A function to compile, and the arguments to time it with."""

    function: Callable[..., Array | tuple[Array, ...]]
    arguments: tuple[Array, ...]


def make_operands(
    shape: Shape, *, kernel_size: int, groups: int, dtype: str
) -> Operands:
    """Draw features, cotangent and logits; normalise the logits to kernels."""
    keys = jax.random.split(jax.random.key(0), 3)
    sizes = {"kernel_size": kernel_size, "groups": groups}
    logits = jax.random.normal(keys[1], shape.logits(**sizes)).astype(dtype)
    kernels = functools.partial(
        ops.kernels_of_logits,
        size=shape.features[1:3],
        normalizer=NORMALIZER,
        scale=shape.scale,
        **sizes,
    )
    return Operands(
        features=jax.random.normal(keys[0], shape.features).astype(dtype),
        kernels=jax.jit(kernels)(logits),
        logits=logits,
        cotangent=jax.random.normal(keys[2], shape.output).astype(dtype),
    )


def computations(
    provider: ProviderName, operands: Operands, *, scale: Fraction, mode: Mode
) -> list[JaxComputation]:
    """Return a provider's computations: several for the operator on an accelerator."""
    match provider:
        case "carafe":
            return [
                _with_kernels(
                    _named("carafe", name),
                    functools.partial(
                        carafe_jax.reassemble, scale=scale, implementation=name
                    ),
                    operands,
                    mode,
                )
                for name in _implementations()
            ]
        case "fused_softmax":
            return [
                _from_logits(
                    _named("fused_softmax", name),
                    functools.partial(_fused_softmax, implementation=name),
                    operands,
                    scale,
                    mode,
                )
                for name in _implementations()
            ]
        case "unfused_softmax":
            return [
                _from_logits("unfused_softmax", _unfused_softmax, operands, scale, mode)
            ]
        case "im2col":
            function = functools.partial(reassemble_im2col, scale=scale)
            return [_with_kernels("im2col", function, operands, mode)]
        case "nearest":
            return _nearest(operands, scale, mode)
        case "copy":
            return [_copy(operands, mode)]
        case _:
            return []


def reassemble_im2col(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
    *,
    scale: Fraction,
) -> Float[Array, "n oh ow c"]:
    """Reassemble by stacked k*k patches and `einsum`.

    For an integer scale the patches stay at the source's resolution, the cheapest form
    of this formulation; else each output pixel has its own patch.
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
    """Return the pixels `shift` after the padded map's source pixels, along an axis."""
    if 1 in (scale.numerator, scale.denominator):
        stride = scale.denominator
        return lax.slice_in_dim(padded, shift, shift + size, stride, axis)
    return jnp.take(padded, shift + _sources(size, scale), axis=axis, mode="clip")


def _sources(size: int, scale: Fraction) -> np.ndarray:
    """Return the source pixel of each output pixel along an axis."""
    return np.arange(math.ceil(size * scale)) * scale.denominator // scale.numerator


def _fused_softmax(
    features: Array,
    logits: Array,
    *,
    sizes: dict[str, int],
    scale: Fraction,
    implementation: Implementation | None,
) -> Array:
    return ops.reassemble_logits(
        features,
        logits,
        normalizer=NORMALIZER,
        scale=scale,
        implementation=implementation,
        **sizes,
    )


def _unfused_softmax(
    features: Array, logits: Array, *, sizes: dict[str, int], scale: Fraction
) -> Array:
    size = features.shape[1:3]
    kernels = ops.kernels_of_logits(
        logits, size=size, normalizer=NORMALIZER, scale=scale, **sizes
    )
    return ops.reassemble(features, kernels, scale=scale)


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
) -> JaxComputation:
    arguments = (operands.features, operands.kernels)
    return JaxComputation(
        provider=provider,
        **_in_mode(function, arguments, operands.cotangent, mode),
        results=results_of(mode, ("output", "features", "kernels")),
        bytes_moved=operands.bytes_moved(mode),
        operations=operands.operations(mode),
    )


def _from_logits(
    provider: str,
    function: Callable[..., Array],
    operands: Operands,
    scale: Fraction,
    mode: Mode,
) -> JaxComputation:
    *_, groups, taps = operands.kernels.shape
    sizes = {"kernel_size": math.isqrt(taps), "groups": groups}
    function = functools.partial(function, sizes=sizes, scale=scale)
    arguments = (operands.features, operands.logits)
    return JaxComputation(
        provider=provider,
        **_in_mode(function, arguments, operands.cotangent, mode),
        results=results_of(mode, ("output", "features", "logits")),
        bytes_moved=operands.bytes_moved_from_logits(mode),
        operations=operands.operations(mode),
    )


def bytes_without_kernels(operands: Operands, mode: Mode) -> int:
    """Return the bytes that a resampling without kernels reads and writes."""
    whole, out = operands.features.nbytes, operands.cotangent.nbytes
    forward, backward = min(whole, out) + out, out + whole
    match mode:
        case "forward":  # Down-sampling reads only what it keeps.
            return forward
        case "forward_backward":
            return forward + backward
        case _:
            return backward


def _nearest(operands: Operands, scale: Fraction, mode: Mode) -> list[JaxComputation]:
    if mode == "grad_kernels":
        return []
    function = functools.partial(_resample_nearest, scale=scale)
    computation = JaxComputation(
        provider="nearest",
        **_in_mode(function, (operands.features,), operands.cotangent, mode),
        results=results_of(mode, ("nearest output", "nearest features")),
        bytes_moved=bytes_without_kernels(operands, mode),
    )
    return [computation]


def nearest_by_kernels(
    operands: Operands, scale: Fraction, mode: Mode
) -> JaxComputation:
    """Return the reference of `nearest`: kernels that are one in the centre."""
    centre = operands.kernels.shape[-1] // 2
    kernels = jnp.zeros_like(operands.kernels).at[..., centre].set(1)
    reassemble = functools.partial(
        carafe_jax.reassemble, scale=scale, implementation="xla"
    )
    centred = dataclasses.replace(operands, kernels=kernels)
    computation = _with_kernels("carafe:xla", reassemble, centred, mode)
    names = tuple(f"nearest {name}" for name in computation.results)
    return dataclasses.replace(computation, results=names)


def _copy(operands: Operands, mode: Mode) -> JaxComputation:
    moved = operands.bytes_moved(mode)
    dtype = operands.features.dtype
    # Half of the bytes are read and half are written. On a CPU, writing to new memory
    # costs more, so that down-sampling, which writes little, can beat the copy.
    source = jnp.ones(max(1, moved // 2 // dtype.itemsize), dtype)
    return JaxComputation(
        provider="copy",
        function=jnp.copy,
        arguments=(source,),
        results=("copy",),
        bytes_moved=moved,
    )


def results_of(mode: Mode, names: tuple[T, ...]) -> tuple[T, ...]:
    """Return those of the output and the gradients that a mode computes."""
    match mode:
        case "forward":
            return names[:1]
        case "grad_features":
            return names[1:2]
        case "grad_kernels":
            return names[2:]
        case "forward_backward":
            return names


def _in_mode(
    function: Callable[..., Array],
    arguments: tuple[Array, ...],
    cotangent: Array,
    mode: Mode,
) -> dict:
    if mode == "forward":
        return {"function": function, "arguments": arguments}

    def with_gradients(*arrays: Array) -> tuple[Array, ...]:
        # The compiler removes launches whose results are not returned.
        out, vjp = jax.vjp(function, *arrays[:-1])
        return results_of(mode, (out, *vjp(arrays[-1])))

    return {"function": with_gradients, "arguments": (*arguments, cotangent)}


def _implementations() -> tuple[Implementation | None, ...]:
    """Return the default; on accelerators also each implementation explicitly."""
    names = backends()
    return (None, *names, "xla") if names else (None,)


def _named(provider: str, implementation: Implementation | None) -> str:
    return provider if implementation is None else f"{provider}:{implementation}"
