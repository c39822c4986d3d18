"""Normalizers over the taps of each phase and group, which lie along the lanes.

Rows of kernels are (anchors, lanes): all phases, groups and taps of an anchor side by
side. A segment is the taps of one phase and group.
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
    """Reduction of lanes by segment; every lane receives its segment's result.

    Attributes:
      plan: Of the launch.
      segment: (1, lanes), which segment a lane belongs to.
      same_segment: (lanes, lanes), one where two lanes share a segment; None: unused.
      bound: What to subtract from all logits of the block (their logarithmic sigmoids
        for a normalized sigmoid): none is higher, and none so much lower that its
        exponential underflows; None: not known.
      filler: Stands where there is no logit. Its exponential must not overflow: a
        product with `same_segment` would make NaN of infinity in every segment.
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
        """Sum."""
        if self.same_segment is None:
            return self._reduce(x, functools.partial(jnp.sum, keepdims=True), 0.0)
        # The matrix unit multiplies bfloat16. Two such terms keep 16 bits of the sum,
        # plenty for results of 8; three keep all.
        terms = 3 if self.plan.kernels_dtype == jnp.float32 else 2
        multiply = functools.partial(jnp.dot, preferred_element_type=jnp.float32)
        total = jnp.zeros_like(x)
        for _ in range(terms):
            term = x.astype(jnp.bfloat16)
            x = x - term.astype(jnp.float32)
            total += multiply(term, self.same_segment)
        return total

    def highest(self, x: Any) -> Any:
        """Return what to subtract before exponentials: the maximum or a bound."""
        if self.bound is not None:
            return self.bound
        return self._reduce(x, functools.partial(jnp.max, keepdims=True), -jnp.inf)

    def _reduce(self, x: Any, reduction: Callable[..., Any], neutral: float) -> Any:
        def step(s: Any, result: Any) -> Any:
            mine = self.segment == s
            one = reduction(jnp.where(mine, x, neutral), axis=-1)
            return jnp.where(mine, one, result)

        result = jnp.zeros_like(x)
        if self.count > 16:  # Unrolled, the program would grow with the groups.
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
    """Turn a gradient of the normalised kernels into one of the logits."""
    normalizer = segments.plan.normalizer
    kernels = normalize(logits, segments)
    if normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    gradient = kernels * (gradient - segments.total(kernels * gradient))
    if normalizer == "normalized_sigmoid":
        gradient = gradient * _sigmoid(-logits)
    return gradient


def log_sigmoid(x: Any) -> Any:
    """Return the logarithm of the sigmoid, of large negative numbers too."""
    return jnp.minimum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


def _sigmoid(x: Any) -> Any:
    exponential = jnp.exp(-jnp.abs(x))  # Of what is negative: it never overflows.
    return jnp.where(x >= 0, 1.0, exponential) / (1 + exponential)
