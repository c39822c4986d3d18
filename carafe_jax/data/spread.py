"""Indices that are spread evenly over a set."""

import numpy as np


def spread(total: int, count: int) -> list[int]:
    """Return indices that are spread evenly, from the first on.

    The last is among them if they are two or more.

    Args:
      total: Number of indices.
      count: Number to return, at most.
    """
    return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()
