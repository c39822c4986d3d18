"""Brute-force interpolation, convolution and pooling, which nobody optimises."""

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


def nearest_loop(features, size):
    _, height, width, _ = features.shape
    rows = [i * height // size[0] for i in range(size[0])]
    columns = [j * width // size[1] for j in range(size[1])]
    return features[:, rows][:, :, columns]


def bilinear_loop(features, size):
    for axis, length in zip((1, 2), size, strict=True):
        slices = []
        for i in range(length):
            centre = (i + 0.5) * features.shape[axis] / length - 0.5
            centre = min(max(centre, 0), features.shape[axis] - 1)
            low = math.floor(centre)
            high = min(low + 1, features.shape[axis] - 1)
            slices.append(
                (1 - centre + low) * features.take(low, axis)
                + (centre - low) * features.take(high, axis)
            )
        features = np.stack(slices, axis)
    return features
