"""Segmentation networks, against CSAIL's and semseg's numbers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.losses import pixel_loss
from carafe_jax.models import (
    DeepStem,
    PSANet,
    PSPNet,
    ResNet,
    ResNet18,
    Stages,
    UperNet,
)
from carafe_jax.models.backbones.resnet_blocks import Bottleneck
from carafe_jax.nn import BatchNorm, CARAFEDownsample, CARAFEUpsample, resize_bilinear
from tests import segmentation_goldens as goldens
from tests.segmentation_goldens import agree, agree_where_recorded, nhwc, section

CARAFE = functools.partial(CARAFEUpsample, compressed_channels=6)
DECODERS = {
    "carafe_upernet_decoder_eval": ("ppm", "fpn", "fuse"),
    "carafe_upernet_fpn_eval": ("fpn",),
    "carafe_upernet_fuse_eval": ("fuse",),
    "carafe_upernet_ppm_eval": ("ppm",),
}
# CSAIL's running statistics forget 0.001 a step, PyTorch's, in CARAFE++, 0.1.
SLOW = functools.partial(BatchNorm, momentum=0.999)


def narrow(stage_sizes: tuple[int, ...], norm: Any, **fields: Any) -> ResNet:
    fields = {"stem": DeepStem, "norm": norm, **fields}
    return ResNet(stage_sizes, Bottleneck, width=4, **fields)


def places(*names: str) -> dict[str, Any]:
    return {f"{name}_upsample": CARAFE for name in names}


UPERNET: dict[str, Any] = {"features": 8, "pooled_features": 6, "norm": SLOW}
PSP: dict[str, Any] = {"features": 6, "auxiliary_features": 5, "dropout": 0.0}
NETWORKS: dict[str, Any] = {
    "upernet_csail_loss_train": UperNet(narrow((1, 2, 1, 1), SLOW), 7, **UPERNET),
    "carafe_upernet_whole_train": UperNet(
        narrow(
            (1, 1, 2, 1),
            SLOW,
            downsample=functools.partial(
                CARAFEDownsample, compressed_channels=4, norm=BatchNorm
            ),
        ),
        5,
        **UPERNET,
        **places("ppm", "fpn", "fuse"),
    ),
    "pspnet_csail_deepsup_train": PSPNet(
        narrow((1, 1, 2, 2), SLOW, output_stride=8, contract_dilation=True),
        6,
        features=6,
        pooled_features=6,
        auxiliary_features=32,
        align_corners=False,
        dropout=0.0,
        norm=SLOW,
    ),
    "pspnet_semseg_train": PSPNet(
        narrow((1, 1, 2, 2), BatchNorm, output_stride=8), 5, pooled_features=32, **PSP
    ),
    "psanet_semseg_train": PSANet(
        narrow((1, 1, 2, 2), BatchNorm, output_stride=8), 5, window=(5, 7), **PSP
    ),
}


def reads(name):
    return goldens.semseg_variables if "semseg" in name else goldens.csail_variables


def decoder_variables(state):
    return goldens.csail_variables({f"decoder.{name}": x for name, x in state.items()})


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_is_that_of_the_reference(name):
    golden = goldens.load(name)
    network: Any = UperNet(ResNet18(), 5, **UPERNET, **places(*DECODERS[name]))
    with jax.enable_x64(True):
        state = section(golden, "state_dict/")
        variables = goldens.cast(decoder_variables(state), jnp.float64)
        maps = Stages(
            *(jnp.asarray(nhwc(golden[f"input/{i}"]), jnp.float64) for i in range(4))
        )

        def loss(params, maps):
            out = network.apply({**variables, "params": params}, maps, method="decode")
            scores = jax.nn.log_softmax(out.logits)
            return jnp.vdot(scores, nhwc(golden["R/0"])), scores

        differentiate = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
        gradients, scores = differentiate(variables["params"], maps)
        agree(scores, nhwc(golden["ref64_output/0"]), 1e-9)
        for i, gradient in enumerate(gradients[1]):
            agree(gradient, nhwc(golden[f"ref64_grad_input/{i}"]), 1e-9)
        recorded = decoder_variables(section(golden, "ref64_grad_param/"))["params"]
        agree_where_recorded(gradients[0], recorded, 1e-9, least=8)


def losses(name, out, labels):
    """Main and auxiliary loss, whose sum weights the second by 0.4."""
    both = (out.logits, out.auxiliary_logits)
    if "semseg" in name:
        size = labels.shape[1:]
        both = [resize_bilinear(x, size=size, align_corners=True) for x in both]
    labels = np.where(labels < 0, 255, labels).astype(np.int32)
    return [pixel_loss(x, labels).mean for x in both if x is not None]


def step(name, golden, dtype):
    """Loss and its parts, gradients, and the statistics afterwards."""
    network, labels = NETWORKS[name], golden["input/1"]
    state = section(golden, "state_dict/")
    variables = goldens.cast(reads(name)(state), dtype)

    def loss(params, images):
        out, updates = network.apply(
            {**variables, "params": params},
            images,
            train=True,
            mutable="batch_stats",
            method="outputs",
        )
        parts = losses(name, out, labels)
        total = sum(w * x for w, x in zip((1, 0.4), parts, strict=False))
        return total, (parts, out, updates)

    images = jnp.asarray(nhwc(golden["input/0"]), dtype)
    differentiate = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    return differentiate(variables["params"], images)


# Float64: sums in another order. Float32: ten times what PyTorch in float32 differs
# from float64, which is most for gradients in training, as a ReLU may take the other
# side.
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        pytest.param(
            "carafe_upernet_whole_train", "float64", 1e-9, marks=pytest.mark.slow
        ),
        ("psanet_semseg_train", "float64", 1e-9),
        pytest.param(
            "pspnet_csail_deepsup_train", "float64", 1e-9, marks=pytest.mark.slow
        ),
        pytest.param("pspnet_semseg_train", "float64", 1e-9, marks=pytest.mark.slow),
        pytest.param(
            "upernet_csail_loss_train", "float64", 1e-9, marks=pytest.mark.slow
        ),
        pytest.param(
            "carafe_upernet_whole_train", "float32", 1.3e-4, marks=pytest.mark.weekly
        ),
        pytest.param("psanet_semseg_train", "float32", 6e-5, marks=pytest.mark.weekly),
    ],
)
def test_loss_gradients_and_statistics_are_those_of_the_original_code(
    name, dtype, tolerance
):
    golden = goldens.load(name)
    with jax.enable_x64(dtype == "float64"):
        (total, (parts, out, updates)), gradients = step(name, golden, dtype)
        agree(total, golden["ref64_output/0"], tolerance)
        if "semseg" in name:
            agree(parts[0], golden["ref64_output/1"], tolerance)
            agree(parts[1], golden["ref64_output/2"], tolerance)
        else:
            scores = jax.nn.log_softmax(out.logits)
            agree(scores, nhwc(golden["ref64_output/2"]), tolerance)
        agree(gradients[1], nhwc(golden["ref64_grad_input/0"]), tolerance)
        recorded = reads(name)(section(golden, "ref64_grad_param/"))["params"]
        agree_where_recorded(gradients[0], recorded, tolerance, least=8)
        after = reads(name)(section(golden, "ref64_state_after/"))
        agree_where_recorded(updates, after, tolerance, least=20)
