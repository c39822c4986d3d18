"""Guided up-sampling against the numbers of its public implementation."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.nn import BatchNorm, GuidedUpsampling
from tests.nn.torch_goldens import load, nhwc

LAYERS = {
    "gum_x2": GuidedUpsampling(),
    "gum_bn_train_odd": GuidedUpsampling(norm=BatchNorm),
}
MODULES = {
    "cb_0.cb_unit": "guidance",
    "cb_1.cb_unit": "features",
    "cbr_1.cbr_unit": "first",
    "cbr_2.cbr_unit": "second",
    "cbr_3.cb_unit": "offset",
}
NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def variables_of(golden, prefix, dtype):
    """Read the arrays that a golden has, as variables."""
    variables = {"params": {}, "batch_stats": {}}
    for key in golden.files:
        if not key.startswith(f"{prefix}/gum_x3.") or key.endswith("tracked"):
            continue
        module, index, part = key.removeprefix(f"{prefix}/gum_x3.").rsplit(".", 2)
        kind = "conv" if index == "0" else "norm"
        collection, leaf = "params", "kernel" if part == "weight" else "bias"
        if kind == "norm":
            collection, leaf = NORM[part]
        array = golden[key]
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        layer = variables[collection].setdefault(f"{MODULES[module]}_{kind}", {})
        layer[leaf] = np.asarray(array, dtype)
    return variables


@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    # In float32, ten times what PyTorch itself differs from float64.
    [
        ("gum_x2", "float64", 1e-9),
        ("gum_bn_train_odd", "float64", 1e-9),
        ("gum_x2", "float32", 1e-5),
    ],
)
def test_outputs_gradients_and_statistics_are_those_of_pytorch(name, dtype, tolerance):
    golden, train = load(name), "train" in name
    with jax.enable_x64(dtype == "float64"):
        before = variables_of(golden, "state_dict", dtype)
        guidance, features = (
            jnp.asarray(nhwc(golden[f"input/{i}"]), dtype) for i in range(2)
        )

        def run(params, features, guidance):
            collections = ["intermediates", "batch_stats"]
            variables = {"params": params, "batch_stats": before["batch_stats"]}
            out: Any
            updates: Any
            out, updates = LAYERS[name].apply(
                variables, features, guidance, train, mutable=collections
            )
            (offsets,) = updates["intermediates"]["offsets"]
            # Theirs are relative to half of the output's size.
            half = jnp.asarray([out.shape[2] - 1, out.shape[1] - 1], dtype) / 2
            return (out, offsets / half), updates.get("batch_stats", {})

        def loss(*arguments):
            (out, offsets), statistics = run(*arguments)
            cotangents = nhwc(golden["R/0"]), golden["R/1"]
            products = (x * y for x, y in zip((out, offsets), cotangents, strict=True))
            return sum(map(jnp.sum, products)), (out, offsets, statistics)

        gradients, (out, offsets, statistics) = jax.jit(
            jax.grad(loss, argnums=(0, 1, 2), has_aux=True)
        )(before["params"], features, guidance)
        expected_params = variables_of(golden, "ref64_grad_param", "float64")["params"]
        after = variables_of(golden, "ref64_state_after", "float64")["batch_stats"]
    recorded = {
        module: {part: gradients[0][module][part] for part in parts}
        for module, parts in expected_params.items()
    }
    compared = [
        (out, nhwc(golden["ref64_output/0"])),
        (offsets, golden["ref64_output/1"]),
        (gradients[1], nhwc(golden["ref64_grad_input/1"])),
        (gradients[2], nhwc(golden["ref64_grad_input/0"])),
        *zip(*map(jax.tree.leaves, (recorded, expected_params)), strict=True),
        *zip(*map(jax.tree.leaves, (statistics, after)), strict=True),
    ]
    for ours, reference in compared:
        # Relative to the largest value: sums cancel. A bias before a norm that uses
        # the statistics of the batch has a gradient of zero.
        atol = tolerance * max(1e-3, np.max(np.abs(reference)))
        np.testing.assert_allclose(np.float64(ours), reference, rtol=0, atol=atol)


# The second has fewer rows than the features, and more columns.
@pytest.mark.parametrize("size", [(1, 1), (3, 20)])
def test_layer_starts_as_bilinear_interpolation_between_aligned_corners(size):
    features = np.random.default_rng(0).normal(size=(1, 5, 4, 2)).astype(np.float32)
    guidance = np.ones((1, *size, 3), np.float32)
    out, _ = jax.jit(GuidedUpsampling().init_with_output)(
        jax.random.key(0), features, guidance
    )
    expected = features
    for axis in (1, 2):
        positions = np.linspace(0, features.shape[axis] - 1, size[axis - 1])
        expected = np.apply_along_axis(
            lambda line, at=positions: np.interp(at, np.arange(len(line)), line),
            axis,
            expected,
        )
    # Float32 rounds positions of up to 5.
    chex.assert_trees_all_close(np.float64(out), expected, atol=5e-6)


def test_guidance_of_other_examples_is_refused():
    with pytest.raises(RefusedError, match="`guidance` must have the 2 examples"):
        GuidedUpsampling().init(
            jax.random.key(0), jnp.zeros((2, 3, 3, 4)), jnp.zeros((1, 6, 6, 2))
        )
