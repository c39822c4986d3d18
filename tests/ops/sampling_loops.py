"""Brute-force sampling and deformable convolution, which nobody optimises."""

import math

import numpy as np


def bilinear(plane, y, x):
    """Sample one channel (h, w) at one position; zero outside."""
    total = 0.0
    for p, q in np.ndindex(*plane.shape):
        total += max(0, 1 - abs(y - p)) * max(0, 1 - abs(x - q)) * plane[p, q]
    return total


def sample_loop(features, rows, columns):
    n, oh, ow, groups = rows.shape
    channels = features.shape[3]
    out = np.zeros((n, oh, ow, channels))
    for b, i, j, c in np.ndindex(*out.shape):
        place = b, i, j, c // (channels // groups)
        out[b, i, j, c] = bilinear(features[b, :, :, c], rows[place], columns[place])
    return out


def deformable_conv_loop(
    features, weights, offsets, modulation, *, stride, padding, dilation, deform_groups
):
    kh, kw, ci, outputs = weights.shape
    n, oh, ow, _ = offsets.shape
    channels = features.shape[3]
    offsets = offsets.reshape(n, oh, ow, deform_groups, kh * kw, 2)
    modulation = modulation.reshape(n, oh, ow, deform_groups, kh * kw)
    out = np.zeros((n, oh, ow, outputs))
    for b, i, j, f, a, e, c in np.ndindex(n, oh, ow, outputs, kh, kw, ci):
        group = f // (outputs // (channels // ci))
        channel = group * ci + c
        place = b, i, j, channel // (channels // deform_groups), a * kw + e
        dy, dx = offsets[place]
        y = i * stride - padding + a * dilation + dy
        x = j * stride - padding + e * dilation + dx
        sample = bilinear(features[b, :, :, channel], y, x)
        out[b, i, j, f] += weights[a, e, c, f] * modulation[place] * sample
    return out


def conv_size(size, kernel_size, *, stride, padding, dilation):
    return tuple(
        math.floor((length + 2 * padding - dilation * (taps - 1) - 1) / stride) + 1
        for length, taps in zip(size, kernel_size, strict=True)
    )
