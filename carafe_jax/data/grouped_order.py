"""Order of batches whose examples come from groups, such as images of equal size."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from carafe_jax.arguments import check

# Sub-sequences of a seed, so that orders and examples draw different numbers.
_ORDER, _EXAMPLE, _BATCH = range(3)


@dataclasses.dataclass(frozen=True)
class Visit:
    """One place of a batch."""

    index: int
    """Index of the example. In an order without a seed, -1 in places that only fill the
    last batch of a group."""
    group: int
    """Group of the batch."""
    batch: int
    """Number of the batch, over all epochs."""
    fills: bool
    """Whether the example only fills an incomplete batch."""


class _Epoch(NamedTuple):
    """Order of an epoch."""

    number: int
    groups: tuple[np.ndarray, ...]
    """Indices of each group, in the order of their visits."""
    batches: np.ndarray
    """The batches, numbered group by group, in the order of their visits."""


class GroupedOrder:
    """Order in which batches visit grouped indices; a batch holds one group.

    An epoch visits each index once, in batches of equal size. The last batch of a group
    may be incomplete, and is then filled. With a seed, each epoch has a new order, of
    the indices and of the batches, and further indices of the group fill a batch.
    Without, the order is that of the groups and their indices.

    The order of an epoch is computed when it is first needed; a pickled copy computes
    it again. Instances may be used by several threads.
    """

    def __init__(
        self, groups: Sequence[np.ndarray], *, batch_size: int, seed: int | None
    ) -> None:
        """Store the groups.

        Args:
          groups: Indices of each group. Empty groups have no batches.
          batch_size: Examples in a batch, over all processes.
          seed: Seed of the order. None: the order of the groups.

        Raises:
          RefusedError: There is no index.
        """
        self.groups = tuple(np.asarray(group, np.int64) for group in groups)
        self.batch_size, self.seed = batch_size, seed
        self._ends = np.cumsum([-(-len(g) // batch_size) for g in self.groups])
        count = sum(map(len, self.groups))
        check("groups", count, "have at least one index", holds=count > 0)
        self._epochs: dict[int, _Epoch] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self.groups, self.batch_size, self.seed)

    @property
    def batches_per_epoch(self) -> int:
        """Batches that visit each index once; the same in every epoch."""
        return int(self._ends[-1])

    def visit(self, position: int) -> Visit:
        """Return what a position visits.

        Args:
          position: Number of the visit over all epochs: `batch_size` for each batch.
        """
        batch, place = divmod(position, self.batch_size)
        epoch = self._epoch(batch // self.batches_per_epoch)
        number = int(epoch.batches[batch % self.batches_per_epoch])
        group = int(np.searchsorted(self._ends, number, side="right"))
        indices = epoch.groups[group]
        first = number - int(self._ends[group - 1] if group else 0)
        place += first * self.batch_size
        fills = place >= len(indices)
        if fills and self.seed is None:
            return Visit(-1, group, batch, fills)
        return Visit(int(indices[place % len(indices)]), group, batch, fills)

    def generator(self, position: int) -> np.random.Generator:
        """Return the generator of the random choices of a visit."""
        return np.random.default_rng([self.seed or 0, _EXAMPLE, position])

    def batch_generator(self, batch: int) -> np.random.Generator:
        """Return the generator of the random choices that a batch shares."""
        return np.random.default_rng([self.seed or 0, _BATCH, batch])

    def _epoch(self, number: int) -> _Epoch:
        made = self._epochs.get(number)
        if made is None:
            made = self._make_epoch(number)
            # Batches are prefetched across the end of an epoch.
            before = self._epochs.get(number - 1)
            kept = (made,) if before is None else (before, made)
            self._epochs = {epoch.number: epoch for epoch in kept}
        return made

    def _make_epoch(self, number: int) -> _Epoch:
        batches = np.arange(self.batches_per_epoch)
        if self.seed is None:
            return _Epoch(number, self.groups, batches)
        rng = np.random.default_rng([self.seed, _ORDER, number])
        groups = tuple(rng.permutation(group) for group in self.groups)
        return _Epoch(number, groups, rng.permutation(batches))


def _make(
    groups: tuple[np.ndarray, ...], batch_size: int, seed: int | None
) -> GroupedOrder:
    return GroupedOrder(groups, batch_size=batch_size, seed=seed)
