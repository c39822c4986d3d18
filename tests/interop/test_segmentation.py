"""Weights of CSAIL's networks and of semseg: names and shapes.

That the numbers are the same is tested with the networks.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from carafe_jax.errors import RefusedError
from carafe_jax.interop import csail_to_flax, semseg_to_flax
from tests import segmentation_goldens as goldens
from tests.models.segmentation.test_reference_networks import NETWORKS
from tests.segmentation_goldens import section


def csail(name):
    state = section(goldens.load(name), "state_dict/")
    return section(state, "encoder."), section(state, "decoder.")


def semseg(name):
    return section(goldens.load(name), "state_dict/")


@pytest.mark.parametrize(
    "name",
    [
        "upernet_csail_loss_train",
        "pspnet_csail_deepsup_train",
        "pspnet_semseg_train",
        "psanet_semseg_train",
    ],
)
def test_converted_weights_are_all_variables_of_the_network(name):
    variables = (
        semseg_to_flax(semseg(name))
        if "semseg" in name
        else csail_to_flax(*csail(name))
    )
    images = jnp.zeros((2, 33, 49, 3))
    expected = jax.eval_shape(NETWORKS[name].init, jax.random.key(0), images)
    assert shapes(variables) == shapes(dict(expected))


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    flat: Any = flatten_dict(tree, sep="/")
    return {path: x.shape for path, x in flat.items()}


def test_files_as_they_are_saved_are_accepted():
    state = semseg("psanet_semseg_train")
    saved = {
        "epoch": 3,
        "state_dict": {f"module.{name}": x for name, x in state.items()},
    }
    assert (
        flatten_dict(semseg_to_flax(saved)).keys()
        == flatten_dict(semseg_to_flax(state)).keys()
    )
    encoder, decoder = csail("upernet_csail_loss_train")
    counters = {
        "ppm_last_conv.1._tmp_running_mean": np.zeros(8, np.float32),
        "ppm_last_conv.1._tmp_running_var": np.zeros(8, np.float32),
        "ppm_last_conv.1._running_iter": np.ones(1, np.float32),
        "ppm_last_conv.1.num_batches_tracked": np.int64(3),
    }
    with_counters = csail_to_flax(encoder, {**decoder, **counters})
    plain = csail_to_flax(encoder, decoder)
    assert flatten_dict(with_counters).keys() == flatten_dict(plain).keys()


def test_classifier_of_other_classes_can_be_absent():
    encoder, decoder = csail("upernet_csail_loss_train")
    rest = {name: x for name, x in decoder.items() if "conv_last.1" not in name}
    variables = csail_to_flax(encoder, rest, absent=("conv_last.1",))
    assert "classifier" not in variables["params"]["head"]


def without(state, name):
    return {key: x for key, x in state.items() if key != name}


def test_missing_unexpected_and_misshapen_arrays_are_refused():
    encoder, decoder = csail("upernet_csail_loss_train")
    with pytest.raises(RefusedError, match=r"upernet: missing fpn_in.1.0.weight"):
        csail_to_flax(encoder, without(decoder, "fpn_in.1.0.weight"))
    with pytest.raises(RefusedError, match=r"ResNet: missing conv1.weight"):
        csail_to_flax(without(encoder, "conv1.weight"), decoder)
    extra = {**decoder, "fpn_in.3.0.weight": decoder["fpn_in.2.0.weight"]}
    with pytest.raises(RefusedError, match=r"unexpected fpn_in.3.0.weight"):
        csail_to_flax(encoder, extra)
    wrong = {**decoder, "fpn_out.0.0.0.weight": np.zeros((8, 7, 3, 3), np.float32)}
    with pytest.raises(RefusedError, match=r"fpn_out.0.0.0.weight'\]` must have shape"):
        csail_to_flax(encoder, wrong)
    state = semseg("psanet_semseg_train")
    with pytest.raises(RefusedError, match=r"semseg's PSANet: missing psa.proj.1.bias"):
        semseg_to_flax(without(state, "psa.proj.1.bias"))
    with pytest.raises(RefusedError, match=r"unexpected layer0.2"):
        semseg_to_flax({**state, "layer0.2.weight": np.zeros(3, np.float32)})
