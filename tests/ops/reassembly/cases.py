"""Arrays for the tests of the operator, and how far rounding may move its results."""

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
    """The sizes of one reassembly."""

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
        """More products than any one sum of the forward or backward has."""
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


@functools.cache
def expected(case: Case, features_dtype: Any, kernels_dtype: Any) -> tuple[Any, Any]:
    """Return the oracle's results, and those of the absolute values of the inputs."""
    inputs = case.draw(features_dtype, kernels_dtype)

    def run(features: Any, kernels: Any, cotangent: Any) -> tuple[Any, Any, Any]:
        out = oracle.reassemble(features, kernels, scale=case.scale)
        pair = oracle.gradients(features, kernels, cotangent, scale=case.scale)
        return out, *pair

    return run(*inputs), run(*(np.abs(np.float64(x)) for x in inputs))


def value_and_gradients(
    features: Any, kernels: Any, cotangent: Any, **options: Any
) -> tuple[Any, Any, Any]:
    """Run the operator and its backward, compiled as one."""

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
    """Compare with the oracle, within what rounding can do and no more.

    A sum of n products in a dtype of spacing eps errs by n * eps times the sum of the
    absolute products (`magnitude`) at most; then it is rounded to its own dtype once.
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
