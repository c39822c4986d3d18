"""Pairs of positions of point-wise spatial attention (PSANet, Zhao et al. 2018)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.arguments import check, check_window
from carafe_jax.errors import no_type_check
from carafe_jax.ops.arguments import check_array


# Our own errors for wrong arguments are clearer.
@no_type_check
def attention_pairs(
    logits: Float[Array | np.ndarray, "n h w t"], *, window: Sequence[int]
) -> Float[Array, "n p p"]:
    """Return the logits of all pairs of positions, from those of relative positions.

    The logit of position (y, x) for (y + a - wh // 2, x + b - ww // 2), where a and b
    are row and column in the window, is channel `a * ww + b` at (y, x). With the
    positions in row-major order, `pairs[n, i, j]` is the logit of position i for j, and
    0 where j is outside the window around i. This is the operator `psamask` of PSANet's
    authors: their "distribute", and the transpose of their "collect".

    Args:
      logits: Logits of the relative positions, floating; `t = wh * ww`.
      window: Rows and columns of the window, both odd, `(wh, ww)`. A window of
        `(2 * h - 1, 2 * w - 1)` covers all pairs of positions.

    Returns:
      The logits of all pairs of the `p = h * w` positions, in the dtype of `logits`.

    Raises:
      RefusedError: `logits` is not of rank 4 and floating, `window` is not two positive
        odd ints, or their numbers differ.
    """
    logits = jnp.asarray(logits)
    check_array("logits", logits, rank=4, layout="(N, H, W, window)")
    check_window("window", window)
    n, height, width, channels = logits.shape
    rule = f"have {window[0] * window[1]} channels, those of the window {window}"
    check("logits", logits.shape, rule, holds=channels == window[0] * window[1])
    rows, row_inside = _relative(height, window[0])
    columns, column_inside = _relative(width, window[1])
    # (y, x, y', x'), then pairs of positions.
    channel = rows[:, None, :, None] * window[1] + columns[None, :, None, :]
    inside = row_inside[:, None, :, None] & column_inside[None, :, None, :]
    positions = height * width
    channel, inside = (x.reshape(1, positions, positions) for x in (channel, inside))
    pairs = jnp.take_along_axis(
        logits.reshape(n, positions, channels), channel, axis=2, mode="clip"
    )
    return jnp.where(inside, pairs, 0)


def _relative(length: int, window: int) -> tuple[jax.Array, jax.Array]:
    """Return the place in the window of each pair, and whether it is inside."""
    positions = jnp.arange(length, dtype=np.int32)
    place = positions[None, :] - positions[:, None] + window // 2
    return jnp.clip(place, 0, window - 1), (place >= 0) & (place < window)
