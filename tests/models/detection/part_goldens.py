"""Parts of mmdetection's detectors: outputs and gradients of PyTorch."""

import re

import jax
import jax.numpy as jnp

from carafe_jax.interop import mmdetection_to_flax
from tests.models.inpainting.mmediting_goldens import agree, flat, nhwc, section

__all__ = ["agree", "arrays", "check", "nhwc", "of_mask_head", "of_neck", "section"]


def arrays(golden, prefix):
    """Arrays whose names end with an index, channels last."""
    found = section(golden, f"{prefix}/")
    return [nhwc(found[str(index)]) for index in range(len(found))]


def of_mask_head(state):
    """Convert arrays by their names within the mask head."""
    named = {f"roi_head.mask_head.{name}": x for name, x in state.items()}
    return part_of(mmdetection_to_flax(named, absent=None), "mask_head")


def of_neck(state, *, maps):
    """Convert arrays by their names within a neck on fewer maps than a detector's.

    The last map is that of index 3, and all levels are shifted by the others.
    """
    shift = 4 - maps
    named = {
        re.sub(r"\d", lambda digit: str(int(digit[0]) + shift), name, count=1): x
        for name, x in state.items()
    }
    named = {f"neck.{name}": x for name, x in named.items()}
    variables = part_of(mmdetection_to_flax(named, absent=None), "fpn")
    return {
        collection: {
            re.sub(r"\d", lambda digit: str(int(digit[0]) - shift), layer): leaves
            for layer, leaves in layers.items()
        }
        for collection, layers in variables.items()
    }


def part_of(variables, part):
    return {collection: parts[part] for collection, parts in variables.items()}


def check(golden, network, convert, inputs, *, dtype, tolerance):
    """Compare outputs, and gradients of the inputs and of the recorded parameters."""
    state = section(golden, "state_dict/")
    variables = jax.tree.map(lambda x: jnp.asarray(x, dtype), convert(state))
    statistics = {name: x for name, x in variables.items() if name != "params"}
    cotangents = [jnp.asarray(x, dtype) for x in arrays(golden, "R")]

    def loss(params, inputs):
        outputs = network.apply({"params": params, **statistics}, inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = zip(outputs, cotangents, strict=False)
        return sum(jnp.vdot(output, x) for output, x in pairs), outputs

    inputs = jax.tree.map(lambda x: jnp.asarray(x, dtype), inputs)
    differentiate = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, outputs = differentiate(variables["params"], inputs)
    expected = arrays(golden, "ref64_output")
    assert len(outputs) >= len(expected)
    for output, reference in zip(outputs, expected, strict=False):
        assert output.dtype == dtype
        agree(output, reference, tolerance)
    references = arrays(golden, "ref64_grad_input")
    for gradient, reference in zip(
        jax.tree.leaves(gradients[1]), references, strict=True
    ):
        agree(gradient, reference, tolerance)
    recorded = flat(convert(section(golden, "ref64_grad_param/"))["params"])
    assert len(recorded) >= 4
    for path, reference in recorded.items():
        agree(flat(gradients[0])[path], reference, tolerance)
    return outputs
