"""Greedy suppression, in two ways with the same result.

`suppresses[i, j]` means that box i, if it is kept, removes box j; it is False unless
i < j. Greedy suppression goes down the list of boxes, best first, and keeps each box
that none of the boxes kept so far suppresses.
"""

from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def suppress(
    suppresses: Bool[Array, "n n"], candidates: Bool[Array, "n"]
) -> Bool[Array, "n"]:
    """Return which boxes greedy suppression keeps, by the platform's fastest algorithm.

    Args:
      suppresses: Strict upper triangle, the best box first.
      candidates: Boxes that take part; the others are not kept and suppress none.
    """
    return cast(
        Array,
        jax.lax.platform_dependent(
            suppresses,
            candidates,
            cpu=suppress_by_rows,
            default=suppress_by_sweeps,
        ),
    )


def suppress_by_rows(
    suppresses: Bool[Array, "n n"], candidates: Bool[Array, "n"]
) -> Bool[Array, "n"]:
    """Return the same as `suppress`, in n dependent steps of n operations."""

    def settle(i: Array, kept: Array) -> Array:
        return kept & ~(_at(suppresses, i) & _at(kept, i))

    count = candidates.shape[0]
    return cast(Array, jax.lax.fori_loop(0, count, settle, candidates))


def suppress_by_sweeps(
    suppresses: Bool[Array, "n n"], candidates: Bool[Array, "n"]
) -> Bool[Array, "n"]:
    """Return the same as `suppress`, in a few steps of n * n operations.

    Each sweep updates all boxes at once, until none changes. The first box is correct
    from the start, and a box is correct one sweep after all boxes before it are. So the
    result is the greedy one after n sweeps at most. Crowded scenes take 5 to 9 sweeps;
    under `vmap` all examples take as many as the slowest.
    """

    def sweep(kept: Array) -> Array:
        return candidates & ~jnp.any(suppresses & kept[:, None], axis=0)

    def has_changed(last_two: tuple[Array, Array]) -> Array:
        return jnp.any(last_two[0] != last_two[1])

    def advance(last_two: tuple[Array, Array]) -> tuple[Array, Array]:
        return last_two[1], sweep(last_two[1])

    start = (candidates, sweep(candidates))
    return jax.lax.while_loop(has_changed, advance, start)[1]


def _at(array: Bool[Array, "n *m"], i: Int[Array, ""]) -> Bool[Array, "*m"]:
    return cast(Array, jax.lax.dynamic_index_in_dim(array, i, keepdims=False))
