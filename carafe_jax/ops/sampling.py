"""Sampling of positive and negative boxes for the losses of a detector."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Int32, Key

from carafe_jax.arguments import check_count, check_up_to_1
from carafe_jax.errors import no_type_check
from carafe_jax.ops.matching import Matches


@runtime_checkable
class Sampler(Protocol):
    """Chooses `count` candidates, or all if there are fewer.

    Called as `sampler(key, candidates, count=..., limit=...)`: `count` may be traced,
    and `limit` is a static bound of it. The result marks the chosen entries,
    `min(count, candidates.sum())` of them.
    """

    def __call__(
        self,
        key: Key[Array, ""],
        candidates: Bool[Array, " n"],
        *,
        count: Int[Array, ""] | int,
        limit: int,
    ) -> Bool[Array, " n"]: ...


@no_type_check
def random_sampler(
    key: Key[Array, ""],
    candidates: Bool[Array, " n"],
    *,
    count: Int[Array, ""] | int,
    limit: int,
) -> Bool[Array, " n"]:
    """Choose candidates at random, each with the same probability.

    The choice depends only on the order of the candidates. With JAX's default
    generator, "threefry2x32", it does not depend on the entries between or after them.

    Args:
      key: Of this image and step.
      candidates: Whether an entry may be chosen.
      count: Entries to choose.
      limit: Static bound of `count`.

    Returns:
      The chosen entries, `min(count, candidates.sum())` of them.
    """
    n = candidates.shape[0]
    available = jnp.sum(candidates, dtype=jnp.int32)
    # Ranks among the candidates are drawn, not entries: padding then changes nothing.
    priorities = jax.random.uniform(key, (n,), jnp.float32)
    entries = jnp.arange(n, dtype=jnp.int32)
    priorities = jnp.where(entries < available, priorities, -1.0)
    _, ranks = jax.lax.top_k(priorities, min(limit, n))
    chosen = entries[: ranks.shape[0]] < jnp.minimum(count, available)
    return _at_ranks(candidates, ranks, chosen)


@no_type_check
def strided_sampler(
    key: Key[Array, ""],
    candidates: Bool[Array, " n"],
    *,
    count: Int[Array, ""] | int,
    limit: int,
) -> Bool[Array, " n"]:
    """Choose candidates at equal distances; deterministic, for comparisons.

    Of n candidates in ascending order, those of rank (j * n + n - 1) // count for j in
    0 .. count - 1; all of them if n <= count.

    Args:
      key: Not used.
      candidates: Whether an entry may be chosen.
      count: Entries to choose.
      limit: Static bound of `count`; limit * n must be below 2**31.

    Returns:
      The chosen entries, `min(count, candidates.sum())` of them.
    """
    del key
    available = jnp.sum(candidates, dtype=jnp.int32)
    taken = jnp.minimum(count, available)
    entries = jnp.arange(limit, dtype=jnp.int32)
    ranks = (entries * available + available - 1) // jnp.maximum(taken, 1)
    return _at_ranks(candidates, ranks, entries < taken)


class Samples(NamedTuple):
    """Boxes sampled from those of one image, in a fixed number of slots.

    Positives come first, then negatives, each in ascending order, then padding.
    """

    indices: Int32[Array, "*b count"]
    """Index of the box; 0 in padding."""
    valid: Bool[Array, "*b count"]
    """False for padding."""
    positive: Bool[Array, "*b count"]
    """Whether the box is a positive; False for padding."""


@no_type_check
def sample_boxes(
    key: Key[Array, ""],
    matches: Matches,
    *,
    count: int,
    positive_fraction: float,
    sampler: Sampler = random_sampler,
) -> Samples:
    """Sample boxes of one image: positives up to a fraction, negatives for the rest.

    Args:
      key: Of this image and step, for example
        `fold_in(fold_in(key, step), image)`.
      matches: Of the boxes of one image.
      count: Slots, and the number of samples if there are enough negatives.
      positive_fraction: At most `int(count * positive_fraction)` samples are positives.
      sampler: Chooses among the positives, and among the negatives.

    Returns:
      The samples.

    Raises:
      RefusedError: `count` is below 1 or the fraction is not in [0, 1].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.ops import Matches, sample_boxes
      >>> overlaps = jnp.array([0.1, 0.9, 0.0, 0.2])
      >>> positive = overlaps > 0.5
      >>> matches = Matches(jnp.zeros(4, jnp.int32), positive, ~positive, overlaps)
      >>> key = jax.random.key(0)
      >>> samples = sample_boxes(key, matches, count=6, positive_fraction=0.5)
      >>> print(samples.indices, samples.valid)
      [1 0 2 3 0 0] [ True  True  True  True False False]
    """
    check_count("count", count)
    check_up_to_1("positive_fraction", positive_fraction)
    positive_key, negative_key = jax.random.split(key)
    most = int(count * positive_fraction)
    positives = sampler(positive_key, matches.positive, count=most, limit=most)
    number = jnp.sum(positives, dtype=jnp.int32)
    rest = count - number
    negatives = sampler(negative_key, matches.negative, count=rest, limit=count)
    slots = jnp.arange(count, dtype=jnp.int32)
    total = number + jnp.sum(negatives, dtype=jnp.int32)
    indices = jnp.where(
        slots < number,
        _index_of_rank(positives, slots),
        _index_of_rank(negatives, slots - number),
    )
    valid = slots < total
    return Samples(jnp.where(valid, indices, 0), valid, slots < number)


def _at_ranks(
    candidates: Bool[Array, " n"],
    ranks: Int[Array, " limit"],
    chosen: Bool[Array, " limit"],
) -> Bool[Array, " n"]:
    """Mark the candidates of the chosen ranks, counted in ascending order."""
    n = candidates.shape[0]
    indices = jnp.where(chosen, _index_of_rank(candidates, ranks), n)
    return jnp.zeros_like(candidates).at[indices].set(True, mode="drop")


def _index_of_rank(
    candidates: Bool[Array, " n"], ranks: Int[Array, " m"]
) -> Int32[Array, " m"]:
    """Return the index of the r-th candidate; n where there are fewer.

    It searches the running count by bisection, which is cheaper than compacting all n
    entries when few ranks are searched for among 200,000 anchors.
    """
    running = jnp.cumsum(candidates, dtype=jnp.int32)
    sought = ranks.astype(jnp.int32) + 1
    return jnp.searchsorted(running, sought).astype(jnp.int32)
