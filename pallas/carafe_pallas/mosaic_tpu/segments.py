"""Normalizers over the taps of each phase and group, along the lanes.

A row of kernels is (anchors, lanes), with all phases, groups and taps of an anchor in
the lanes. A segment is the taps of one phase and group.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from carafe_pallas.mosaic_tpu.plan import Plan


@dataclasses.dataclass(frozen=True)
class Segments:
    """Reductions over the lanes of each segment, broadcast to these lanes.

    Attributes:
      plan: Plan of the launch.
      segment: (1, lanes), the segment of each lane.
      same_segment: (lanes, lanes), one where two lanes share a segment; None: unused.
      bound: Upper bound of the logits of the block (of their log-sigmoids, for
        "normalized_sigmoid"), so close that no exponential of a difference underflows.
        None: each segment subtracts its maximum.
      filler: Value of lanes without a logit. Its exponential must not overflow, because
        infinity times a zero of `same_segment` is NaN in every segment.
    """

    plan: Plan
    segment: Any
    same_segment: Any = None
    bound: Any = None
    filler: Any = 0.0

    @property
    def count(self) -> int:
        return self.plan.geometry.phases * self.plan.geometry.groups

    def total(self, x: Any) -> Any:
        """Return the sum over each segment."""
        if self.same_segment is None:
            return self._reduce(x, functools.partial(jnp.sum, keepdims=True), 0.0)
        # The MXU multiplies bfloat16. A sum of two such terms has 16 of the 24 bits of
        # a float32, enough for kernels of 8; one of three has all.
        terms = 3 if self.plan.kernels_dtype == jnp.float32 else 2
        multiply = functools.partial(jnp.dot, preferred_element_type=jnp.float32)
        total = jnp.zeros_like(x)
        for _ in range(terms):
            term = x.astype(jnp.bfloat16)
            x = x - term.astype(jnp.float32)
            total += multiply(term, self.same_segment)
        return total

    def highest(self, x: Any) -> Any:
        """Return the maximum of each segment, or the bound, to subtract from logits."""
        if self.bound is not None:
            return self.bound
        return self._reduce(x, functools.partial(jnp.max, keepdims=True), -jnp.inf)

    def _reduce(self, x: Any, reduction: Callable[..., Any], neutral: float) -> Any:
        def step(s: Any, result: Any) -> Any:
            mine = self.segment == s
            one = reduction(jnp.where(mine, x, neutral), axis=-1)
            return jnp.where(mine, one, result)

        result = jnp.zeros_like(x)
        if self.count > 16:  # Not unrolled: the program would grow with the groups.
            return lax.fori_loop(0, self.count, step, result)
        for s in range(self.count):
            result = step(s, result)
        return result


def normalize(logits: Any, segments: Segments) -> Any:
    """Normalise over the taps of each phase and group, in float32."""
    normalizer = segments.plan.normalizer
    if normalizer == "sigmoid":
        return _sigmoid(logits)
    if normalizer == "normalized_sigmoid":
        logits = log_sigmoid(logits)
    exponentials = jnp.exp(logits - segments.highest(logits))
    return exponentials / segments.total(exponentials)


def pull_back(gradient: Any, logits: Any, segments: Segments) -> Any:
    """Convert the gradient of the normalised kernels to that of the logits."""
    normalizer = segments.plan.normalizer
    kernels = normalize(logits, segments)
    if normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    gradient = kernels * (gradient - segments.total(kernels * gradient))
    if normalizer == "normalized_sigmoid":
        gradient = gradient * _sigmoid(-logits)
    return gradient


def log_sigmoid(x: Any) -> Any:
    """Return the logarithm of the sigmoid, finite for large negative numbers too."""
    return jnp.minimum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


def _sigmoid(x: Any) -> Any:
    exponential = jnp.exp(-jnp.abs(x))  # Of a negative number: it never overflows.
    return jnp.where(x >= 0, 1.0, exponential) / (1 + exponential)
