"""State dicts as users save them: wrapped, of parallel modules, in any order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import mmcv_carafe_to_flax
from tests.interop.test_mmcv import state_dict


class Tensor:
    """Stand-in for a parameter of PyTorch on a GPU: the methods that we use."""

    def __init__(self, array, dtype="torch.float32", state="learned") -> None:
        self.array, self.dtype, self.state = array, dtype, state

    def detach(self):
        return Tensor(self.array, self.dtype, "on a GPU")

    def cpu(self):
        assert self.state == "on a GPU"
        return Tensor(self.array, self.dtype, "here")

    def float(self):
        return Tensor(self.array.astype(np.float32), "torch.float32", self.state)

    def __array__(self, dtype=None, copy=None):
        # As torch does.
        if self.state != "here" or self.dtype == "torch.bfloat16":
            raise TypeError(f"no array: {self.state}, {self.dtype}")
        return self.array


def assert_same(converted, expected):
    assert set(converted) == set(expected)
    for layer, arrays in expected.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(converted[layer][name], array)


@pytest.mark.parametrize(
    "wrap",
    {
        "key": lambda weights: {"state_dict": weights, "epoch": 3},
        "parallel": lambda weights: {f"module.{n}": x for n, x in weights.items()},
        "both": lambda weights: {
            "state_dict": {f"module.{n}": x for n, x in weights.items()}
        },
        "reversed": lambda weights: dict(reversed(weights.items())),
        "tensors": lambda weights: {n: Tensor(x) for n, x in weights.items()},
    }.items(),
    ids=lambda pair: pair[0],
)
def test_wrappers_of_the_weights_are_removed(wrap):
    weights = state_dict()
    expected = mmcv_carafe_to_flax(weights)["params"]
    assert_same(mmcv_carafe_to_flax(wrap[1](weights))["params"], expected)


def test_tensors_of_bfloat16_become_float32():
    weights = {name: np.asarray(x, jnp.bfloat16) for name, x in state_dict().items()}
    tensors = {name: Tensor(x, "torch.bfloat16") for name, x in weights.items()}
    params = mmcv_carafe_to_flax(tensors)["params"]
    assert params["content_encoder"]["kernel"].dtype == np.float32
    assert_same(params, mmcv_carafe_to_flax(weights)["params"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", jnp.bfloat16])
def test_arrays_keep_their_type(dtype):
    weights = {name: np.asarray(x, dtype) for name, x in state_dict().items()}
    params = mmcv_carafe_to_flax(weights)["params"]
    assert params["channel_compressor"]["bias"].dtype == dtype


def test_arrays_are_copies():
    weights = {name: np.array(x) for name, x in state_dict().items()}
    params = mmcv_carafe_to_flax(weights)["params"]
    before = jax.tree.map(np.copy, params)
    for array in weights.values():
        array[:] = 7
    assert_same(params, before)


@pytest.mark.parametrize("value", [np.zeros(4, int), np.array([None] * 4), "abcd", 1j])
def test_array_that_is_not_floating_is_refused(value):
    weights = {**state_dict(), "channel_compressor.bias": value}
    with pytest.raises(
        RefusedError,
        match=r"compressor\.bias'\]` must hold floating-point num",
    ):
        mmcv_carafe_to_flax(weights)
