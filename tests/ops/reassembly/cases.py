"""Shapes and arrays for the tests of the operator, and bounds on its rounding error."""

import dataclasses
import functools
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax import reassemble
from tests.ops.reassembly import oracle


@dataclasses.dataclass(frozen=True)
class Case:
    """Scale, window, groups and shape of one reassembly."""

    scale: int | str | Fraction
    kernel_size: int
    groups: int
    shape: tuple[int, int, int, int]

    def __str__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        return f"scale{self.scale}-k{self.kernel_size}-g{self.groups}-{sizes}"

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        n, h, w, c = self.shape
        oh, ow = (oracle.output_size(size, self.scale) for size in (h, w))
        return n, oh, ow, c

    @property
    def kernels_shape(self) -> tuple[int, int, int, int, int]:
        return *self.output_shape[:3], self.groups, self.kernel_size**2

    @property
    def terms(self) -> int:
        """Upper bound of the number of products in one sum, forward or backward."""
        windows = (self.kernel_size * max(1, Fraction(self.scale))) ** 2
        return round(windows) + self.shape[3]

    def draw(self, features_dtype: Any, kernels_dtype: Any) -> tuple[Any, Any, Any]:
        """Draw features, kernels and a cotangent, rounded to their dtypes."""
        draw = np.random.default_rng(0).normal
        return (
            draw(size=self.shape).astype(features_dtype),
            draw(size=self.kernels_shape).astype(kernels_dtype),
            draw(size=self.output_shape).astype(features_dtype),
        )


CASES: dict[str, Case] = {
    "x1": Case(1, kernel_size=5, groups=2, shape=(2, 4, 9, 4)),
    "x1, window wider than the map": Case(1, 7, groups=1, shape=(1, 2, 3, 1)),
    "x2": Case(2, kernel_size=5, groups=1, shape=(2, 5, 7, 6)),
    "x2, two groups": Case(2, kernel_size=3, groups=2, shape=(1, 3, 19, 4)),
    "x2, window wider than the map": Case(2, 7, groups=1, shape=(1, 2, 3, 2)),
    "x2, one pixel": Case(2, kernel_size=3, groups=3, shape=(1, 1, 1, 3)),
    "x2, one tap": Case(2, kernel_size=1, groups=1, shape=(1, 3, 2, 2)),
    "x3, four groups": Case(3, kernel_size=3, groups=4, shape=(1, 3, 4, 4)),
    "x4, one tap": Case(4, kernel_size=1, groups=2, shape=(1, 2, 3, 4)),
    "x1/2": Case("1/2", kernel_size=5, groups=1, shape=(2, 7, 6, 5)),
    "x1/2, two groups": Case("1/2", kernel_size=3, groups=2, shape=(1, 8, 19, 4)),
    "x1/2, one pixel": Case("1/2", kernel_size=7, groups=1, shape=(1, 1, 1, 2)),
    "x1/3": Case("1/3", kernel_size=5, groups=1, shape=(1, 7, 5, 2)),
    "x1/4": Case("1/4", kernel_size=3, groups=1, shape=(1, 9, 10, 2)),
    "x3/2": Case("3/2", kernel_size=5, groups=2, shape=(1, 5, 7, 4)),
    "x3/2, one row": Case("3/2", kernel_size=5, groups=1, shape=(1, 1, 2, 1)),
    "x3/2, one tap": Case("3/2", kernel_size=1, groups=2, shape=(2, 5, 4, 4)),
    "x2/3": Case("2/3", kernel_size=3, groups=1, shape=(1, 7, 8, 3)),
    "x4/3": Case("4/3", kernel_size=3, groups=1, shape=(1, 4, 4, 1)),
    "x4/3, one tap": Case("4/3", kernel_size=1, groups=1, shape=(1, 5, 7, 2)),
    # Strides at or above the window size: no window reads some of the pixels.
    "x1/3, stride of the window": Case("1/3", 3, groups=1, shape=(1, 24, 24, 2)),
    "x1/3, unread rows": Case("1/3", kernel_size=1, groups=1, shape=(1, 7, 9, 8)),
    "x1/4, unread last row": Case("1/4", 3, groups=1, shape=(1, 8, 64, 2)),
    "x1/5": Case("1/5", kernel_size=5, groups=2, shape=(1, 10, 15, 4)),
    "x2/5": Case("2/5", kernel_size=3, groups=1, shape=(1, 10, 11, 8)),
    "x1/16": Case("1/16", kernel_size=3, groups=1, shape=(1, 32, 48, 8)),
}
"""Cases of the batteries of the operator and of the launches."""


@functools.cache
def expected(case: Case, features_dtype: Any, kernels_dtype: Any) -> tuple[Any, Any]:
    """Return the oracle's results for the inputs, and for their absolute values."""
    inputs = case.draw(features_dtype, kernels_dtype)

    def run(features: Any, kernels: Any, cotangent: Any) -> tuple[Any, Any, Any]:
        out = oracle.reassemble(features, kernels, scale=case.scale)
        pair = oracle.gradients(features, kernels, cotangent, scale=case.scale)
        return out, *pair

    return run(*inputs), run(*(np.abs(np.float64(x)) for x in inputs))


def value_and_gradients(
    features: Any, kernels: Any, cotangent: Any, **options: Any
) -> tuple[Any, Any, Any]:
    """Return the output and both gradients of the operator, compiled together."""

    @jax.jit
    def run(features: Any, kernels: Any, cotangent: Any) -> tuple[Any, Any, Any]:
        out, pullback = jax.vjp(
            lambda features, kernels: reassemble(features, kernels, **options),
            features,
            kernels,
        )
        return out, *pullback(cotangent)

    return run(features, kernels, cotangent)


def assert_equal_up_to_rounding(
    actual: Any, expected: Any, magnitude: Any, *, terms: int, sums: Any
) -> None:
    """Compare with the oracle, up to the largest possible rounding error.

    The error of a sum of n products in a dtype of spacing eps is at most n * eps times
    the sum of the absolute products (`magnitude`); the sum is then rounded once to the
    dtype of the result.
    """
    own = jnp.finfo(actual.dtype)
    allowed = (
        float(own.eps) * np.abs(expected)
        + float(own.smallest_subnormal)
        + terms * float(jnp.finfo(sums).eps) * magnitude
    )
    assert actual.shape == expected.shape
    error = np.abs(np.float64(actual) - expected)
    assert np.all(np.isfinite(error))
    worst = np.max(error - allowed, initial=0)
    assert worst <= 0, f"off by {worst} more than rounding explains"
