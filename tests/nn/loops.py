"""Brute-force convolution and pooling, which nobody optimises."""

import math

import numpy as np


def windows(features, kernel_size, scale):
    """Each output pixel, its source pixels and their taps inside the map."""
    _, height, width, _ = features.shape
    before = (kernel_size - 1) // 2
    stride = round(1 / scale)
    for i, j in np.ndindex(math.ceil(height * scale), math.ceil(width * scale)):
        yield (
            i,
            j,
            [
                (a, b, i * stride + a - before, j * stride + b - before)
                for a, b in np.ndindex(kernel_size, kernel_size)
                if 0 <= i * stride + a - before < height
                and 0 <= j * stride + b - before < width
            ],
        )


def conv_loop(features, kernel, bias, scale):
    n, height, width, _ = features.shape
    size = math.ceil(height * scale), math.ceil(width * scale)
    out = np.zeros((n, *size, len(bias))) + bias
    for i, j, taps in windows(features, len(kernel), scale):
        for a, b, y, x in taps:
            out[:, i, j] += features[:, y, x] @ kernel[a, b]
    return out


def pool_loop(features, kernel_size, scale, pool):
    n, height, width, channels = features.shape
    out = np.zeros((n, math.ceil(height * scale), math.ceil(width * scale), channels))
    for i, j, taps in windows(features, kernel_size, scale):
        out[:, i, j] = pool([features[:, y, x] for _, _, y, x in taps])
    return out
