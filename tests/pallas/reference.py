"""Expected results of a launch: a float64 loop, in the layout of the launches."""

import dataclasses
import functools
import math
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
from carafe_pallas.call import Call, Normalizer
from carafe_pallas.geometry import Geometry

from tests.ops.reassembly import oracle
from tests.ops.reassembly.cases import Case


@dataclasses.dataclass(frozen=True)
class LaunchCase:
    """Arguments of a launch: kernels, or logits if there is a normalizer, by anchor.

    They are drawn from a normal distribution around `mean`.
    """

    case: Case
    features_dtype: str = "float32"
    kernels_dtype: str = "float32"
    normalizer: Normalizer | None = None
    mean: float = 0.0

    def __str__(self) -> str:
        dtypes = dict.fromkeys((self.features_dtype, self.kernels_dtype))
        about = f"-about{self.mean:g}" if self.mean else ""
        return f"{self.case}-{'-'.join(dtypes)}-{self.normalizer}{about}"

    @property
    def geometry(self) -> Geometry:
        _, h, w, _ = self.case.shape
        return Geometry.of(
            h,
            w,
            scale=Fraction(self.case.scale),
            kernel_size=self.case.kernel_size,
            groups=self.case.groups,
        )

    @property
    def kernels_shape(self) -> tuple[int, int, int, int]:
        rows, columns = self.geometry.rows, self.geometry.columns
        taps = self.case.groups * self.case.kernel_size**2
        channels = rows.up * columns.up * taps
        return self.case.shape[0], rows.anchors, columns.anchors, channels

    @property
    def call(self) -> Call:
        return Call(
            geometry=self.geometry,
            batch=self.case.shape[0],
            channels=self.case.shape[3],
            features_dtype=jnp.dtype(self.features_dtype),
            kernels_dtype=jnp.dtype(self.kernels_dtype),
            normalizer=self.normalizer,
        )

    def draw(self) -> tuple[Any, Any, Any]:
        """Draw features, kernels (by anchor) and a cotangent."""
        normal = np.random.default_rng(0).normal
        kernels = normal(self.mean, size=self.kernels_shape)
        return (
            normal(size=self.case.shape).astype(jnp.dtype(self.features_dtype)),
            kernels.astype(jnp.dtype(self.kernels_dtype)),
            normal(size=self.case.output_shape).astype(jnp.dtype(self.features_dtype)),
        )


@dataclasses.dataclass(frozen=True)
class Results:
    """Results of the three launches."""

    out: Any
    grad_features: Any
    grad_kernels: Any


def to_pixels(kernels: Any, case: LaunchCase) -> Any:
    """(n, ah, aw, phases * groups * taps) -> (n, oh, ow, groups, taps)."""
    n, ah, aw, _ = kernels.shape
    up = case.geometry.rows.up
    groups, taps = case.case.groups, case.case.kernel_size**2
    split = kernels.reshape(n, ah, aw, up, up, groups, taps)
    pixels = split.swapaxes(2, 3).reshape(n, ah * up, aw * up, groups, taps)
    _, oh, ow, _ = case.case.output_shape
    return pixels[:, :oh, :ow]


def to_anchors(kernels: Any, case: LaunchCase) -> Any:
    """Return the inverse of `to_pixels`; phases outside of the map are zero."""
    n, ah, aw, channels = case.kernels_shape
    up = case.geometry.rows.up
    missing = (ah * up - kernels.shape[1], aw * up - kernels.shape[2])
    pad = ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0), (0, 0))
    split = np.pad(kernels, pad).reshape(n, ah, up, aw, up, *kernels.shape[3:])
    return split.swapaxes(2, 3).reshape(n, ah, aw, channels)


def normalize(kernels: Any, case: LaunchCase) -> Any:
    """Normalise over the taps in float64, rounded to the dtype of the kernels."""
    if case.normalizer is None:
        return np.float64(kernels)
    taps = case.case.kernel_size**2
    logits = np.float64(kernels).reshape(*kernels.shape[:3], -1, taps)
    match case.normalizer:
        case "softmax":
            exponentials = np.exp(logits - logits.max(-1, keepdims=True))
            normalized = exponentials / exponentials.sum(-1, keepdims=True)
        case "sigmoid":
            normalized = _sigmoid(logits)
        case "normalized_sigmoid":
            exponentials = _sigmoid(logits)
            normalized = exponentials / exponentials.sum(-1, keepdims=True)
    return normalized.reshape(kernels.shape)


def pull_back(gradient: Any, kernels: Any, case: LaunchCase) -> Any:
    """Return the gradient of the logits, from that of the normalised kernels."""
    if case.normalizer is None:
        return gradient
    taps = case.case.kernel_size**2
    shape = (*kernels.shape[:3], -1, taps)
    normalized = normalize(kernels, case).reshape(shape)
    logits = np.float64(kernels).reshape(shape)
    gradient = gradient.reshape(shape)
    if case.normalizer == "sigmoid":
        return (gradient * normalized * (1 - normalized)).reshape(kernels.shape)
    inner = (normalized * gradient).sum(-1, keepdims=True)
    gradient = normalized * (gradient - inner)
    if case.normalizer == "normalized_sigmoid":
        gradient = gradient * (1 - _sigmoid(logits))
    return gradient.reshape(kernels.shape)


def _sigmoid(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits))


@functools.cache
def expected(case: LaunchCase) -> Results:
    """Return the results of the float64 loop."""
    features, kernels, cotangent = case.draw()
    normalized = to_pixels(normalize(kernels, case), case)
    scale = case.case.scale
    grad_features, grad_kernels = oracle.gradients(
        features, normalized, cotangent, scale=scale
    )
    return Results(
        out=oracle.reassemble(features, normalized, scale=scale),
        grad_features=grad_features,
        grad_kernels=pull_back(to_anchors(grad_kernels, case), kernels, case),
    )


def tolerance(case: LaunchCase, result: str) -> float:
    """Return the largest rounding error, relative to the largest expected number.

    Float32 sums of n products have an error that grows with n. A result is rounded once
    to its own dtype, and so are kernels that the launch normalises.
    """
    eps = [float(jnp.finfo(jnp.float32).eps) * 4 * math.sqrt(case.case.terms)]
    own = case.kernels_dtype if result == "grad_kernels" else case.features_dtype
    eps.append(float(jnp.finfo(own).eps))
    if case.normalizer is not None:
        eps.append(2 * float(jnp.finfo(case.kernels_dtype).eps))
    return sum(eps)
