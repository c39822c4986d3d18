"""Modulated deformable convolution, DCNv2 (arXiv:1811.11168)."""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.arguments import check_array
from carafe_jax.ops.bilinear_sampling import sample_bilinear
from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.sharding import run_per_device


# Our own errors for wrong arguments are clearer.
@no_type_check
def modulated_deformable_conv(
    features: Float[Array | np.ndarray, "n h w c"],
    weights: Float[Array | np.ndarray, "kh kw ci f"],
    *,
    offsets: Float[Array | np.ndarray, "n oh ow od"],
    modulation: Float[Array | np.ndarray, "n oh ow md"],
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
    deform_groups: int = 1,
) -> Float[Array, "n oh ow f"]:
    r"""Convolve a map at positions displaced and weighted for each output pixel.

    Eq. 1 of DCNv2 (arXiv:1811.11168), with tap k = a * kw + b and d(c) the deform group
    of channel c::

        dy, dx = offsets[n, i, j].reshape(deform_groups, kh * kw, 2)[d(c), k]
        y = i * stride - padding + a * dilation + dy
        x = j * stride - padding + b * dilation + dx
        out[n, i, j, f] = sum over a, b, c of
            weights[a, b, c, f]
            * modulation[n, i, j].reshape(deform_groups, kh * kw)[d(c), k]
            * bilinear(features[n, :, :, c], y, x)

    Pixels outside the map count as zero. With offsets of zero and a modulation of one,
    it is the ordinary convolution. Groups of channels are contiguous blocks: the
    `deform_groups` of the c input channels, and the c / ci groups of the convolution,
    as in `lax.conv_general_dilated`.

    Temporary memory does not grow with the window, because the taps are gathered one
    after another, and gathered again in the backward pass. The samples of a tap are
    n * oh * ow * c numbers. On a CPU, where gathers are not fused with their sums, the
    temporaries take 6 times as much, and 23 times with gradients; all taps at once
    would take 4 * kh * kw times. Gathers, and scatters in the backward pass, are slow
    on TPUs. On GPUs, the order in which a scatter sums is not fixed.

    Differentiable in all four arrays; `sample_bilinear` has the derivatives at integer
    positions.

    Args:
      features: Feature map, floating.
      weights: Weights, floating; ci divides c, and c / ci divides f.
      offsets: Displacements in pixels of `features`: pairs (dy, dx) for each tap, taps
        row by row, for each deform group; od = 2 * deform_groups * kh * kw.
      modulation: Factor of each sample, in the order of the offsets, usually a sigmoid;
        md = deform_groups * kh * kw.
      stride: Pixels of `features` from one output pixel to the next.
      padding: Rows and columns of zeros on each side.
      dilation: Pixels of `features` from one tap to the next.
      deform_groups: Number of channel groups, each with its own offsets.

    Returns:
      The map of oh = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1 rows, ow
      likewise, in the dtype of `features`. Sums are in float32 or wider.

    Raises:
      RefusedError: An argument breaks a rule above.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import modulated_deformable_conv
      >>> features, weights = jnp.ones((1, 6, 7, 4)), jnp.ones((3, 3, 4, 2))
      >>> out = modulated_deformable_conv(
      ...     features,
      ...     weights,
      ...     offsets=jnp.zeros((1, 6, 7, 18)),
      ...     modulation=jnp.ones((1, 6, 7, 9)),
      ... )
      >>> out.shape, float(out[0, 2, 2, 0])
      ((1, 6, 7, 2), 36.0)
    """
    features, weights = jnp.asarray(features), jnp.asarray(weights)
    offsets, modulation = jnp.asarray(offsets), jnp.asarray(modulation)
    counts = {"stride": stride, "dilation": dilation, "deform_groups": deform_groups}
    for name, count in counts.items():
        check(name, count, "be a positive int", holds=_is_int(count) and count > 0)
    rule = "be an int of at least 0"
    check("padding", padding, rule, holds=_is_int(padding) and padding >= 0)
    size = _output_size(features, weights, stride, padding, dilation)
    _check_channels(features, weights, deform_groups)
    _check_displacements(features, weights, offsets, modulation, size, deform_groups)
    # In `shard_map` the gradient of the weights is summed over devices once. The
    # partitioner would sum that of each tap, inside the loop.
    convolve = functools.partial(
        _convolve,
        size=size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        deform_groups=deform_groups,
    )
    return cast(
        Array,
        run_per_device(convolve, features, offsets, modulation, shared=[weights]),
    )


def _convolve(
    features: Float[Array, "n h w c"],
    offsets: Float[Array, "n oh ow od"],
    modulation: Float[Array, "n oh ow md"],
    weights: Float[Array, "kh kw ci f"],
    *,
    size: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    deform_groups: int,
) -> Float[Array, "n oh ow f"]:
    """Gather the taps one after another, and add up their products."""
    n, channels = features.shape[0], features.shape[3]
    kh, kw, ci, outputs = weights.shape
    taps, groups = kh * kw, channels // ci
    wide = wide_dtype(features.dtype, offsets.dtype)

    def taps_first(x: Array, *last: int) -> Array:
        return jnp.moveaxis(x.reshape(n, *size, deform_groups, taps, *last), 4, 0)

    # Positions of a window's first pixel.
    rows, columns = (jnp.arange(length) * stride - padding for length in size)
    rows = rows.astype(wide)[None, :, None, None]
    columns = columns.astype(wide)[None, None, :, None]

    def of_tap(place: Array, offset: Array, factor: Array, kernel: Array) -> Array:
        sampled = sample_bilinear(
            features,
            rows=rows + place[0] + offset[..., 0],
            columns=columns + place[1] + offset[..., 1],
        )
        sampled = sampled.reshape(*factor.shape, channels // deform_groups)
        sampled = sampled * factor[..., None]
        products = jnp.einsum(
            "nijgc,cgf->nijgf",
            sampled.reshape(n, *size, groups, ci),
            kernel,
            preferred_element_type=wide,
        )
        return products.reshape(n, *size, outputs)

    places = jnp.stack(jnp.indices((kh, kw)), -1).reshape(taps, 2) * dilation
    by_tap = (
        places.astype(wide),
        taps_first(offsets.astype(wide), 2),
        taps_first(modulation.astype(features.dtype)),
        weights.astype(features.dtype).reshape(taps, ci, groups, outputs // groups),
    )
    # Otherwise the backward pass would store the gathered pixels of every tap.
    recomputed = cast(Callable[..., Array], jax.checkpoint(of_tap))

    def add(total: Array, tap: tuple[Array, ...]) -> tuple[Array, None]:
        return total + recomputed(*tap), None

    # The sum starts with the first tap, not with zeros: inside `shard_map` zeros would
    # lack the mesh axes along which the arrays vary.
    first, rest = (tuple(x[part] for x in by_tap) for part in (0, slice(1, None)))
    total, _ = jax.lax.scan(add, recomputed(*first), rest)
    return total.astype(features.dtype)


def _output_size(
    features: Array, weights: Array, stride: int, padding: int, dilation: int
) -> tuple[int, int]:
    check_array("features", features, rank=4, layout="(N, H, W, C)")
    check_array("weights", weights, rank=4, layout="(KH, KW, CI, F)")
    height, width = (
        (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
        for length, taps in zip(features.shape[1:3], weights.shape[:2], strict=True)
    )
    rule = f"have windows that fit into the padded map of {features.shape[1:3]}"
    check("weights", weights.shape, rule, holds=height > 0 and width > 0)
    return height, width


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_channels(features: Array, weights: Array, deform_groups: int) -> None:
    channels, (ci, outputs) = features.shape[3], weights.shape[2:]
    if 0 in features.shape[1:] or 0 in weights.shape:
        raise RefusedError(
            "`features` and `weights` must have no empty axis, got shapes "
            f"{features.shape} and {weights.shape}."
        )
    if channels % ci or outputs % (channels // ci):
        raise RefusedError(
            "`weights` must have a number of inputs CI that divides the channels C of "
            "`features`, and a number of outputs that is a multiple of the C / CI "
            f"groups, got shape {weights.shape} for {channels} channels."
        )
    if channels % deform_groups:
        raise RefusedError(
            f"`deform_groups` must divide the {channels} channels of `features`, got "
            f"{deform_groups}."
        )


def _check_displacements(
    features: Array,
    weights: Array,
    offsets: Array,
    modulation: Array,
    size: tuple[int, int],
    deform_groups: int,
) -> None:
    places = deform_groups * weights.shape[0] * weights.shape[1]
    arrays = {"offsets": (offsets, 2 * places), "modulation": (modulation, places)}
    for name, (array, channels) in arrays.items():
        check_array(name, array, rank=4, layout="(N, OH, OW, channels)")
        expected = (features.shape[0], *size, channels)
        if array.shape != expected:
            raise RefusedError(
                f"`{name}` must have shape {expected} for `features` of shape "
                f"{features.shape}, a window of {weights.shape[:2]} and "
                f"{deform_groups} deform groups, got {array.shape}."
            )
