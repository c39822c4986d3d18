"""Goldens of PyTorch modules: outputs, gradients and parameters."""

import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "models"


def load(name):
    return np.load(GOLDENS / f"{name}.npz")


def nhwc(array):
    return np.moveaxis(array, 1, -1)


def value_and_gradients(function, cotangent, *args):
    @jax.jit
    def run(cotangent, *args):
        out, pullback = jax.vjp(function, *args)
        return out, pullback(cotangent.astype(out.dtype))

    return run(cotangent, *args)


def no_params(golden, prefix):
    del golden, prefix
    return {}


def check_layer(name, layer, to_params, *, dtype, tolerance):
    """Compare output and gradients, relative to values of about one."""
    golden = load(name)
    params, features = jax.tree.map(
        lambda array: jnp.asarray(array, dtype),
        (to_params(golden, "state_dict"), nhwc(golden["input/0"])),
    )
    out, gradients = value_and_gradients(
        lambda params, features: layer.apply({"params": params}, features),
        nhwc(golden["R/0"]),
        params,
        features,
    )
    assert out.dtype == dtype
    expected = (
        nhwc(golden["ref64_output/0"]),
        (
            to_params(golden, "ref64_grad_param"),
            nhwc(golden["ref64_grad_input/0"]),
        ),
    )
    actual = jax.tree.map(np.float64, (out, gradients))
    chex.assert_trees_all_close(actual, expected, rtol=tolerance, atol=tolerance)
