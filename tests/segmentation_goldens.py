"""Reference numbers of segmentation networks: CSAIL's code, and semseg's.

A file of `tests/goldens/segmentation` holds a narrow network or a part of one: weights,
inputs, outputs, gradients, and the running statistics after a step. Arrays whose name
begins with `ref64_` were computed in float64. CARAFE++ in UperNet has no published
code: those files hold a composition of CSAIL's code and CARAFE++ in torch.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from carafe_jax.interop import csail_to_flax, semseg_to_flax

FOLDER = pathlib.Path(__file__).parent / "goldens" / "segmentation"
_CARAFE = {
    "ppm_up.{}": "pyramid_pooling/upsample_{}",
    "fpn_up.{}": "fpn_upsample_{}",
    "fuse_up.{}": "fuse_upsample_{}",
}
_FIRST = {"ppm_up.{}": 0, "fpn_up.{}": 2, "fuse_up.{}": 2}
# CARAFE++ in the backbone, and the names of what follows it without CARAFE++.
_DOWNSAMPLERS = {
    "maxpool.": "stem/downsample",
    **{f"layer{i}.0.conv2.0.": f"res{i + 1}_0/downsample" for i in (2, 3, 4)},
    **{
        f"layer{i}.0.downsample.0.": f"res{i + 1}_0/shortcut_downsample"
        for i in (2, 3, 4)
    },
}
_SHIFTED = {
    f"layer{i}.0.{ours}.": f"layer{i}.0.{plain}."
    for i in (2, 3, 4)
    for ours, plain in {
        "conv2.1": "conv2",
        "downsample.1": "downsample.0",
        "downsample.2": "downsample.1",
    }.items()
}


def load(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def section(golden, prefix):
    """Arrays under a prefix, by the names after it."""
    return {
        name.removeprefix(prefix): array
        for name, array in golden.items()
        if name.startswith(prefix)
    }


def nhwc(array):
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def csail_variables(state):
    """Variables of a whole network, by `encoder.` and `decoder.`, as far as given."""
    encoder, decoder = (section(state, f"{part}.") for part in ("encoder", "decoder"))
    downsamplers, plain = {}, encoder
    if any("compressor" in name or "content_encoder" in name for name in encoder):
        downsamplers = {
            name: x
            for name, x in encoder.items()
            if name.startswith(tuple(_DOWNSAMPLERS))
        }
        plain = {
            _without_carafe(name): x
            for name, x in encoder.items()
            if name not in downsamplers
        }
    upsamplers = {name: x for name, x in decoder.items() if "_up." in name}
    rest = {name: x for name, x in decoder.items() if name not in upsamplers}
    flat = flatten_dict(csail_to_flax(plain, rest, absent=None), sep="/")
    for theirs, ours in _DOWNSAMPLERS.items():
        own = section(downsamplers, theirs)
        flat |= _carafe(own, f"backbone/{ours}", phases=1)
    for theirs, ours in _CARAFE.items():
        for i in range(4):
            own = section(upsamplers, theirs.format(i) + ".")
            flat |= _carafe(own, ours.format(i + _FIRST[theirs]), phases=4)
    return unflatten_dict(flat, sep="/")


def _without_carafe(name):
    for ours, plain in _SHIFTED.items():
        if name.startswith(ours):
            return plain + name.removeprefix(ours)
    return name


def _carafe(state, ours, *, phases):
    """Arrays of one CARAFE++ module, any of which may be missing."""
    norm, flat = "compressor_norm", {}
    leaves = {
        f"{norm}.weight": f"params/{ours}/{norm}/scale",
        f"{norm}.running_mean": f"batch_stats/{ours}/{norm}/mean",
        f"{norm}.running_var": f"batch_stats/{ours}/{norm}/var",
    }
    for name, x in state.items():
        layer, part = name.split(".")
        if layer == "content_encoder":  # Its channels are tap-major, ours phase-major.
            x = x.reshape(-1, phases, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)
        path = f"params/{ours}/{layer}/{'kernel' if x.ndim == 4 else part}"
        flat[leaves.get(name, path)] = x.transpose(2, 3, 1, 0) if x.ndim == 4 else x
    return flat


def semseg_variables(state):
    return semseg_to_flax(state, absent=None)


def cast(tree, dtype):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def agree(ours, reference, tolerance):
    # Relative to the largest value of an array: sums cancel.
    atol = tolerance * max(1e-30, np.max(np.abs(reference)))
    np.testing.assert_allclose(np.float64(ours), reference, rtol=0, atol=atol)


def agree_where_recorded(ours, reference, tolerance, *, least):
    """Compare the arrays of a tree that were recorded."""
    ours, recorded = (flatten_dict(tree, sep="/") for tree in (ours, reference))
    assert len(recorded) >= least
    for path, array in recorded.items():
        agree(ours[path], array, tolerance)
