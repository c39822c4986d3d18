"""Maps with holes, for tests of partial layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from carafe_jax.nn import Masked


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_valid(seed, *shape, share=0.3):
    """Draw valid pixels; the corner of 4 x 4 pixels is hole."""
    valid = np.random.default_rng(seed).random(shape) < share
    valid[:, :4, :4] = False
    return valid.astype(np.float32)


def random_masked(seed, *shape):
    return Masked(
        jnp.asarray(normal(seed, *shape)),
        jnp.asarray(random_valid(seed + 1, *shape[:3], 1)),
    )


def drawn_variables(layer, masked, spread=0.5):
    """Draw parameters with NumPy: compiling initializers takes longer than a test."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), masked)
    variables = jax.tree.map(
        lambda x: (spread * normal(x.size, *x.shape)).astype(x.dtype), shapes
    )
    if "batch_stats" in variables:
        stats = jax.tree.map(np.abs, variables["batch_stats"])  # Of variances too.
        variables = {**variables, "batch_stats": stats}
    return variables


def apply(layer: nn.Module, variables, masked) -> Any:
    """Apply a layer, compiled as a whole: that takes the least time."""
    return jax.jit(layer.apply)(variables, masked)


def hole_count(masked):
    return np.sum(np.asarray(masked.valid) == 0)
