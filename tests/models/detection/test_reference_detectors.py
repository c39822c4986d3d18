"""Neck and heads of mmdetection's detectors, each from the stored input of its own."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import nn
from carafe_jax.interop import mmdetection_to_flax
from carafe_jax.models import FPN, BoxHead, MaskHead, RPNHead
from tests import detection_goldens
from tests.detection_goldens import describe, load
from tests.models.detection.part_goldens import agree, nhwc, section

CARAFE = functools.partial(nn.CARAFEUpsample, compressed_channels=8)


def parts_of(name) -> dict[str, Any]:
    fields = describe(name)["ctor"]
    features, classes = fields["fpn_channels"], fields["num_classes"]
    carafe: dict[str, Any] = {"upsample": CARAFE} if name.endswith("carafe") else {}
    extra = "lateral" if carafe else "pool"
    return {
        "fpn": FPN(features, extra_level=extra, **carafe),
        "rpn": RPNHead(features),
        "box_head": BoxHead(classes, hidden=fields["fc_channels"]),
        "mask_head": MaskHead(classes, features, convs=2, **carafe),
    }


def maps(name, stage, dtype):
    levels = section(load(name), f"ref64_test/{stage}/")
    return tuple(jnp.asarray(nhwc(levels[key]), dtype) for key in sorted(levels))


def variables_of(name, dtype):
    """Convert all but the backbone."""
    state = section(load(name), "state_dict/")
    state = {key: x for key, x in state.items() if not key.startswith("backbone.")}
    variables = mmdetection_to_flax(state, absent=["backbone"])
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), variables["params"])


def outputs(name, dtype):
    """Apply each part to its stored input, in one program."""
    parts, golden = parts_of(name), load(name)
    inputs = {
        "fpn": [maps(name, "backbone", dtype)],
        "rpn": maps(name, "neck", dtype),
        "box_head": [jnp.asarray(nhwc(golden["ref64_test/roi_feats"]), dtype)],
    }
    if "ref64_test/mask_feats" in golden:
        features = golden["ref64_test/mask_feats"]
        inputs["mask_head"] = [jnp.asarray(nhwc(features), dtype)]

    @jax.jit
    def apply(variables, inputs):
        return {
            part: [parts[part].apply({"params": variables[part]}, x) for x in each]
            for part, each in inputs.items()
        }

    variables = variables_of(name, dtype)
    assert set(variables) == set(inputs)
    return apply(variables, inputs)


def references(name, part):
    """Yield the stage, for its tolerance, and the array of each output of a part."""
    golden = section(load(name), "ref64_test/")
    if part == "fpn":
        for key in sorted(section(golden, "neck/")):
            yield "neck", nhwc(golden[f"neck/{key}"])
    elif part == "rpn":
        for key in sorted(section(golden, "rpn_cls/")):
            # Channel = anchor, or 4 * anchor + coordinate.
            logits, deltas = (nhwc(golden[f"rpn_{x}/{key}"]) for x in ("cls", "reg"))
            yield "rpn_cls", logits.reshape(len(logits), -1)
            yield "rpn_reg", deltas.reshape(len(deltas), -1, 4)
    elif part == "box_head":
        stored = len(golden["roi_feats"])
        yield "cls_score", golden["cls_score"][:stored]
        yield "bbox_pred", golden["bbox_pred"][:stored].reshape(stored, -1, 4)
    else:
        yield "mask_logits", nhwc(golden["mask_logits"])


# They have every neck and head between them; `test_detectors.py` has all detectors.
@pytest.mark.parametrize("name", ["mask_rcnn_fpn", "mask_rcnn_fpn_carafe"])
def test_neck_and_heads_are_those_of_mmdetection(name):
    with jax.enable_x64(True):
        results = outputs(name, jnp.float64)
    for part, actual in results.items():
        leaves, expected = jax.tree.leaves(actual), references(name, part)
        for output, (stage, reference) in zip(leaves, expected, strict=True):
            assert (output.dtype, output.shape) == (np.float64, reference.shape)
            # Inputs are stored in float32, those of some stages alone in float64.
            tolerance = detection_goldens.tolerance(
                name, f"test/{stage}", dtype=np.float64, stored=np.float32
            )
            agree(output, reference, tolerance)
