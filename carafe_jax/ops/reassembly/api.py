"""The reassembly operator of CARAFE++: a weighted sum of each window of a map."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from carafe_pallas.call import Normalizer
from carafe_pallas.geometry import Geometry
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.ops.arguments import check_array
from carafe_jax.ops.dispatch import (
    Implementation,
    check_implementation,
    kernels_are_interpreted,
)
from carafe_jax.ops.reassembly import autodiff
from carafe_jax.ops.reassembly.arguments import (
    Scale,
    check_normalizer,
    geometry_of_kernels,
    geometry_of_logits,
    parse_scale,
)
from carafe_jax.ops.reassembly.launches import Spec
from carafe_jax.ops.reassembly.normalization import normalize
from carafe_jax.ops.sharding import axes_in_force


@no_type_check
def reassemble(
    features: Float[Array | np.ndarray, "n h w c"],
    kernels: Float[Array | np.ndarray, "n oh ow g taps"],
    *,
    scale: Scale = 2,
    implementation: Implementation | None = None,
) -> Float[Array, "n oh ow c"]:
    r"""Reassemble a feature map with one kernel for each output pixel.

    With scale u/d, windows of k x k pixels (r = k // 2) and g(c) the group of channel
    c, Eq. 3 of CARAFE++ (arXiv:2012.04733) for any rational scale::

        out[n, i, j, c] = sum over (a, b) in [-r, r]^2 of
            kernels[n, i, j, g(c), (a + r) * k + (b + r)]
            * features[n, i * d // u + a, j * d // u + b, c]

    Pixels outside the map count as zero. Groups are contiguous blocks of C / G
    channels. In plain JAX, for one group, it equals::

        padded = jnp.pad(features, ((0, 0), (r, r), (r, r), (0, 0)))
        rows = (jnp.arange(OH) * d // u)[:, None, None, None] + jnp.arange(k)[:, None]
        columns = (jnp.arange(OW) * d // u)[:, None, None] + jnp.arange(k)
        taps = kernels.reshape(N, OH, OW, k, k)
        out = jnp.einsum("nijabc,nijab->nijc", padded[:, rows, columns], taps)

    Differentiable in both arguments, to any order in reverse mode (`jax.custom_vjp` has
    no forward mode: take Hessian-vector products reverse over reverse).

    Args:
      features: Map of H x W pixels and C channels, floating. For more leading axes use
        `jax.vmap`.
      kernels: Normalised weights of the k*k taps in row-major order, floating;
        OH = ceil(H * u / d) and OW = ceil(W * u / d). The shape determines the groups
        G, which must divide C, and k, which must be odd.
      scale: Output pixels per source pixel along each side: an int, a
        `fractions.Fraction` or a string such as "1/2" or "1.5".
      implementation: "xla" is plain JAX and runs everywhere. None selects the fastest
        for the platform that the program is compiled for.

    Returns:
      The reassembled map in the dtype of `features`, accumulated in float32, or in
      float64 if an argument is float64.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.
      NotImplementedError: The selected implementation cannot run this call.
    """
    check_implementation(implementation)
    fraction = parse_scale(scale)
    features, kernels = jnp.asarray(features), jnp.asarray(kernels)
    check_array("features", features, rank=4, layout="(N, H, W, C)")
    check_array("kernels", kernels, rank=5, layout="(N, H_out, W_out, G, k*k)")
    geometry = geometry_of_kernels(features, kernels, fraction)
    spec = _spec(geometry, features, kernels, implementation)
    return autodiff.reassemble(spec, features, kernels)


@no_type_check
def reassemble_logits(
    features: Float[Array | np.ndarray, "n h w c"],
    logits: Float[Array | np.ndarray, "n ah aw channels"],
    *,
    kernel_size: int,
    groups: int = 1,
    normalizer: Normalizer = "softmax",
    scale: Scale = 2,
    implementation: Implementation | None = None,
) -> Float[Array, "n oh ow c"]:
    """Normalise logits over the taps and reassemble a feature map with these kernels.

    The logits are the content encoder's output: one pixel for each anchor, a block of
    d x d source pixels. The result equals `reassemble` with the kernels that
    `kernels_of_logits` returns. On accelerators, the normalisation and the pixel
    shuffle are fused into the launches where possible, so that these kernels are not
    written to memory.

    Differentiable in both arguments, as `reassemble` is.

    Args:
      features: As for `reassemble`.
      logits: AH = ceil(H / d), AW = ceil(W / d); channel ((py * u + px) * G + g) * k*k
        + tap belongs to phase (py, px) of the anchor's u x u output pixels. Phases past
        the last output pixel are ignored.
      kernel_size: Side k of the windows, odd.
      groups: Groups of channels, G.
      normalizer: "softmax", "sigmoid" or "normalized_sigmoid", computed in at least
        float32, then rounded to the dtype of `logits`.
      scale: As for `reassemble`.
      implementation: As for `reassemble`.

    Returns:
      The reassembled map, as `reassemble` does.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.
      NotImplementedError: The selected implementation cannot run this call.
    """
    check_implementation(implementation)
    check_normalizer(normalizer)
    fraction = parse_scale(scale)
    features, logits = jnp.asarray(features), jnp.asarray(logits)
    check_array("features", features, rank=4, layout="(N, H, W, C)")
    check_array("logits", logits, rank=4, layout="(N, AH, AW, u*u*G*k*k)")
    geometry = geometry_of_logits(
        features, logits, scale=fraction, kernel_size=kernel_size, groups=groups
    )
    spec = _spec(geometry, features, logits, implementation, normalizer)
    # With an axis of their own for the phases, the last axis can be split by groups.
    inner = (geometry.phases, geometry.groups * geometry.taps)
    logits = logits.reshape(*logits.shape[:3], *inner)
    return autodiff.reassemble_logits(spec, features, logits)


@no_type_check
def kernels_of_logits(
    logits: Float[Array, "n ah aw channels"],
    *,
    size: Sequence[int],
    kernel_size: int,
    groups: int = 1,
    normalizer: Normalizer = "softmax",
    scale: Scale = 2,
) -> Float[Array, "n oh ow g taps"]:
    """Return the kernels of `reassemble_logits` in the layout of `reassemble`.

    Args:
      logits: As for `reassemble_logits`.
      size: Height and width of the feature map.
      kernel_size: Side k of the windows, odd.
      groups: Groups of channels, G.
      normalizer: As for `reassemble_logits`.
      scale: As for `reassemble`.

    Returns:
      Normalised kernels in the dtype of the logits.
    """
    check_normalizer(normalizer)
    geometry = Geometry.of(
        *size, scale=parse_scale(scale), kernel_size=kernel_size, groups=groups
    )
    return normalize(logits, geometry=geometry, normalizer=normalizer)


def _spec(
    geometry: Geometry,
    features: jax.Array,
    kernels: jax.Array,
    implementation: Implementation | None,
    normalizer: Normalizer | None = None,
) -> Spec:
    return Spec(
        geometry=geometry,
        features_dtype=features.dtype,
        kernels_dtype=kernels.dtype,
        normalizer=normalizer,
        implementation=implementation,
        axes=axes_in_force(),
        interpret=kernels_are_interpreted(),
    )
