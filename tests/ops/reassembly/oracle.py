"""The reassembly as a loop over output pixels and taps, in NumPy's float64.

It is the reference for all implementations, written from the formula alone and not
optimised.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np


class Term(NamedTuple):
    """The indices of one product of the sum, for every batch entry."""

    output: tuple[Any, ...]
    kernel: tuple[Any, ...]
    source: tuple[Any, ...]


def output_size(size: int, scale: int | str | Fraction) -> int:
    """Length of an axis after the reassembly."""
    return math.ceil(size * Fraction(scale))


def source_pixel(index: int, scale: int | str | Fraction) -> int:
    """Source row or column of an output row or column."""
    return math.floor(index / Fraction(scale))


def terms(features: Any, kernels: Any, scale: int | str | Fraction) -> Iterator[Term]:
    """Yield every product whose pixel is inside the map."""
    _, height, width, channels = features.shape
    _, _, _, groups, taps = kernels.shape
    kernel_size = math.isqrt(taps)
    radius = kernel_size // 2
    block = channels // groups
    sizes = output_size(height, scale), output_size(width, scale), groups
    for i, j, g in np.ndindex(sizes):
        here = slice(g * block, (g + 1) * block)
        for tap in range(taps):
            y = source_pixel(i, scale) + tap // kernel_size - radius
            x = source_pixel(j, scale) + tap % kernel_size - radius
            if 0 <= y < height and 0 <= x < width:
                yield Term(
                    output=np.s_[:, i, j, here],
                    kernel=np.s_[:, i, j, g, tap, None],
                    source=np.s_[:, y, x, here],
                )


def reassemble(features: Any, kernels: Any, *, scale: int | str | Fraction) -> Any:
    """Sum the products of each output pixel."""
    features, kernels = np.float64(features), np.float64(kernels)
    out = np.zeros((*kernels.shape[:3], features.shape[3]))
    for term in terms(features, kernels, scale):
        out[term.output] += kernels[term.kernel] * features[term.source]
    return out


def gradients(
    features: Any, kernels: Any, cotangent: Any, *, scale: int | str | Fraction
) -> tuple[Any, Any]:
    """Scatter the cotangent to both factors of each product."""
    features, kernels = np.float64(features), np.float64(kernels)
    cotangent = np.float64(cotangent)
    grad_features, grad_kernels = np.zeros_like(features), np.zeros_like(kernels)
    for term in terms(features, kernels, scale):
        received = cotangent[term.output]
        grad_features[term.source] += kernels[term.kernel] * received
        products = features[term.source] * received
        grad_kernels[term.kernel] += products.sum(axis=-1, keepdims=True)
    return grad_features, grad_kernels
