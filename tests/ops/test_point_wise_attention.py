"""Pairs of point-wise spatial attention, against the loops of semseg."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import attention_pairs
from tests.nn.torch_goldens import value_and_gradients
from tests.segmentation_goldens import load, nhwc

WINDOWS = {"full": (7, 9), "window": (5, 3)}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("direction", ["collect", "distribute"])
def test_pairs_and_gradients_are_those_of_psamask(direction, window):
    golden = load(f"psamask_{direction}_{window}")

    def pairs(logits):
        # (n, i, j) -> semseg's (n, i, y, x), of which collect has i and j swapped.
        found = attention_pairs(logits, window=WINDOWS[window])
        found = found.swapaxes(1, 2) if direction == "collect" else found
        return found.reshape(golden["ref64_output/0"].shape)

    with jax.enable_x64(True):
        logits = jnp.asarray(nhwc(golden["input/0"]), jnp.float64)
        out, (gradient,) = value_and_gradients(pairs, golden["R/0"], logits)
        np.testing.assert_array_equal(out, golden["ref64_output/0"])
        np.testing.assert_array_equal(gradient, nhwc(golden["ref64_grad_input/0"]))


@pytest.mark.parametrize(
    ("shape", "window", "words"),
    [
        ((1, 4, 15), (5, 3), "`logits` must have rank 4"),
        (
            (1, 4, 4, 15),
            (5, 4),
            r"`window` must be two .* odd ints, got \(5, 4\)",
        ),
        ((1, 4, 4, 15), (15,), "`window` must be two positive odd ints"),
        (
            (1, 4, 4, 14),
            (5, 3),
            r"`logits` must have 15 .*got \(1, 4, 4, 14\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(shape, window, words):
    with pytest.raises(RefusedError, match=words):
        attention_pairs(np.zeros(shape, np.float32), window=window)
