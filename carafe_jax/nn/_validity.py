"""Validity of feature maps with holes, and checks of partial layers' inputs."""

import jax
import jax.numpy as jnp
import numpy as np
from carafe_pallas.geometry import Axis, Geometry, Size
from jaxtyping import Array, Bool, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import checked_features
from carafe_jax.nn.masked import Masked
from carafe_jax.ops import Scale, parse_scale

# The logit of an invalid tap. Relative to a logit that is 750 higher, its exponential
# is exactly zero, in float64 too. It is finite, so that a window that is all hole has
# weights, and it fits float16. A much lower one would break launches that compute
# exponentials in base 2: the rounding of an exponent, 1e-7 of the logit, must be small.
_LOW = -3e4
# If the highest valid logit of a window is below _DEEP, all its logits are shifted so
# that the highest becomes _RAISED. Differences of logits below _DEEP that are small
# enough to matter are exact in every dtype, and log_sigmoid(x) equals x at _RAISED.
_DEEP, _RAISED = -8192, -64


@no_type_check
def checked_masked(masked: Masked) -> Masked:
    """Return a checked map with holes; no gradient flows through `valid`."""
    if not isinstance(masked, Masked):
        raise RefusedError(
            "`masked` must be a `Masked`, a map and its validity: "
            f"Masked(features, valid), got {type(masked).__name__}."
        )
    features = checked_features(masked.features)
    valid = jnp.asarray(masked.valid)
    _check_valid(valid, features, channels=sorted({1, features.shape[-1]}))
    return Masked(features, jax.lax.stop_gradient(valid))


@no_type_check
def checked_valid(
    valid: Float[Array, "n h w 1"], features: Float[Array, "n h w c"]
) -> Float[Array, "n h w 1"]:
    """Return the checked validity, one for all channels."""
    valid = jnp.asarray(valid)
    _check_valid(valid, features, channels=[1])
    return valid


def _check_valid(valid: Array, features: Array, *, channels: list[int]) -> None:
    shapes = [(*features.shape[:3], count) for count in channels]
    if valid.shape not in shapes:
        raise RefusedError(
            f"`valid` must have shape {' or '.join(map(str, shapes))}, as `features` "
            f"has {features.shape}, got {valid.shape}."
        )
    if not jnp.issubdtype(valid.dtype, jnp.floating):
        raise RefusedError(
            "`valid` must be floating, 1 where valid and 0 in the hole, got dtype "
            f"{valid.dtype}."
        )


def zero_holes(
    features: Float[Array, "n h w c"], valid: Float[Array, "n h w v"]
) -> Float[Array, "n h w c"]:
    # A product would let NaN through.
    return jnp.where(valid > 0, features, jnp.zeros_like(features))


def mask_logits(
    logits: Float[Array, "n ah aw channels"],
    valid: Float[Array, "n h w 1"],
    *,
    scale: Scale,
    kernel_size: int,
) -> Float[Array, "n ah aw channels"]:
    """Lower the logits of taps in holes or outside the map, to give them no weight.

    The logits of valid taps keep their differences, so that a softmax of the logits, or
    of their log-sigmoids, normalises over the valid taps alone.
    """
    taps = _valid_taps(valid[..., 0] > 0, _geometry(valid, scale, kernel_size))
    pixels, weights = taps.shape[3], taps.shape[5]
    groups = logits.shape[3] // (pixels * weights)
    by_tap = logits.reshape(*logits.shape[:3], pixels, groups, weights)
    low = jnp.asarray(_LOW, logits.dtype)
    highest = jnp.max(jnp.where(taps, by_tap, -jnp.inf), axis=-1, keepdims=True)
    # It does not change the kernels, so it has no gradient.
    highest = jax.lax.stop_gradient(highest)
    by_tap = jnp.where(highest < _DEEP, by_tap - highest + _RAISED, by_tap)
    return jnp.where(taps, by_tap, low).reshape(logits.shape)


def valid_windows(
    valid: Float[Array, "n h w 1"], *, scale: Scale, kernel_size: int
) -> Float[Array, "n oh ow 1"]:
    """Return 1 for each output pixel whose window holds a valid pixel, else 0."""
    geometry = _geometry(valid, scale, kernel_size)
    pad = (geometry.rows.radius, geometry.rows.radius)
    windows = (1, kernel_size, kernel_size, 1)
    padding = ((0, 0), pad, pad, (0, 0))
    valid = jax.lax.reduce_window(
        valid, -np.inf, jax.lax.max, windows, (1, 1, 1, 1), padding
    )
    valid = _at_sources(valid, geometry.rows, dim=1)
    return _at_sources(valid, geometry.columns, dim=2)


def _geometry(valid: Array, scale: Scale, kernel_size: int) -> Geometry:
    height, width = valid.shape[1:3]
    return Geometry.of(
        height, width, scale=parse_scale(scale), kernel_size=kernel_size, groups=1
    )


def _valid_taps(
    valid: Bool[Array, "n h w"], geometry: Geometry
) -> Bool[Array, "n ah aw pixels 1 taps"]:
    """Return the validity of each window's taps, in the layout of the logits."""
    taps = _unfold(valid, geometry.rows, dim=1)
    taps = _unfold(taps, geometry.columns, dim=4)
    taps = taps.transpose(0, 1, 4, 2, 5, 3, 6)
    n, ah, aw, u, v, k, _ = taps.shape
    return taps.reshape(n, ah, aw, u * v, 1, k**2)


def _unfold(valid: Array, axis: Axis, *, dim: int) -> Array:
    """Split an axis of pixels into anchors, phases and taps."""
    after = axis.span(axis.anchors) - axis.size - axis.radius
    padded = _pad(valid, dim, axis.radius, after)
    length = (axis.anchors - 1) * axis.down + 1
    # Slices instead of a gather, which is slow on TPUs.
    taps = [
        jax.lax.slice_in_dim(padded, start, start + length, axis.down, axis=dim)
        for offset in axis.offsets
        for start in range(offset, offset + axis.kernel_size)
    ]
    stacked = jnp.stack(taps, axis=dim + 1)
    inner = (axis.up, axis.kernel_size)
    return stacked.reshape(
        *valid.shape[:dim], axis.anchors, *inner, *valid.shape[dim + 1 :]
    )


def _at_sources(valid: Array, axis: Axis, *, dim: int) -> Array:
    """Return the value at the source pixel of each output pixel along an axis."""
    before, after = valid.shape[:dim], valid.shape[dim + 1 :]
    whole = _pad(valid, dim, 0, axis.anchors * axis.down - axis.size)
    anchors = whole.reshape(*before, axis.anchors, axis.down, *after)
    phases = [
        jax.lax.index_in_dim(anchors, offset, axis=dim + 1, keepdims=False)
        for offset in axis.offsets
    ]
    spread = jnp.stack(phases, axis=dim + 1)
    spread = spread.reshape(*before, axis.anchors * axis.up, *after)
    return jax.lax.slice_in_dim(spread, 0, axis.output_size, axis=dim)


def _pad(valid: Array, dim: int, before: Size, after: Size) -> Array:
    """Pad an axis with holes; negative widths crop it."""
    widths: list[tuple[Size, Size, int]] = [(0, 0, 0)] * valid.ndim
    widths[dim] = (before, after, 0)
    return jax.lax.pad(valid, jnp.zeros((), valid.dtype), widths)
