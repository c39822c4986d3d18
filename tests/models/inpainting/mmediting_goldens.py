"""Networks of mmediting: outputs, gradients and running statistics of PyTorch."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens" / "models"
NOT_RECORDED = 12345.0


def load(name):
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


def section(golden, prefix):
    """Arrays under a prefix, by the names after it."""
    return {
        name.removeprefix(prefix): array
        for name, array in golden.items()
        if name.startswith(prefix)
    }


def nhwc(array):
    return np.moveaxis(array, 1, -1)


def flat(tree):
    return dict(jax.tree.leaves_with_path(tree))


def agree(ours, reference, tolerance):
    # Relative to the largest value of an array: sums cancel.
    atol = tolerance * max(1e-30, np.max(np.abs(reference)))
    np.testing.assert_allclose(np.float64(ours), reference, rtol=0, atol=atol)


def check(golden, apply, convert, *, dtype, tolerance):
    """Compare `apply(variables, features)`, which returns output and updates."""
    state = section(golden, "state_dict/")
    variables = jax.tree.map(lambda x: jnp.asarray(x, dtype), convert(state))
    statistics = {name: x for name, x in variables.items() if name != "params"}
    cotangent = jnp.asarray(nhwc(golden["R/0"]), dtype)

    def loss(params, features):
        output, updates = apply({"params": params, **statistics}, features)
        return jnp.vdot(output, cotangent), (output, updates)

    features = jnp.asarray(nhwc(golden["input/0"]), dtype)
    differentiate = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, (output, updates) = differentiate(variables["params"], features)
    assert output.dtype == dtype
    agree(output, nhwc(golden["ref64_output/0"]), tolerance)
    agree(gradients[1], nhwc(golden["ref64_grad_input/0"]), tolerance)
    check_gradients(gradients[0], state, golden, convert, tolerance)
    check_statistics(updates, state, golden, convert)


def check_gradients(gradients, state, golden, convert, tolerance):
    recorded = section(golden, "ref64_grad_param/")
    nothing = {name: np.full(np.shape(x), NOT_RECORDED) for name, x in state.items()}
    expected = flat(convert({**nothing, **recorded})["params"])
    ours = flat(gradients)
    compared = [path for path, x in expected.items() if NOT_RECORDED not in x]
    assert len(compared) >= 4
    for path in compared:
        agree(ours[path], expected[path], tolerance)


def check_statistics(updates, state, golden, convert):
    after = section(golden, "state_after/")
    expected = convert({**state, **after}).get("batch_stats", {}) if after else {}
    expected, ours = flat(expected), flat(updates)
    assert set(expected) == set(ours)
    for path, reference in expected.items():
        # The recorded ones are float32.
        agree(ours[path], np.float64(reference), 1e-6)
