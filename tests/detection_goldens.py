"""Reference numbers of mmdetection 3.3 detectors, and how closely to agree with them.

A file of `tests/goldens/detection` holds a tiny detector: its weights, two or three
images, and every array between them and the losses, gradients and detections. Arrays
whose name begins with `ref64_` were computed in float64. `cases.json` has the fields of
each detector and the error of the original code in float32, by stage.

Where the original samples at random, the files use `ops.strided_sampler`.
"""

import functools
import json
import pathlib
from typing import Any

import chex
import jax.numpy as jnp
import numpy as np
from jaxtyping import DTypeLike

from carafe_jax.ops import Boxes

FOLDER = pathlib.Path(__file__).parent / "goldens" / "detection"
CASES = (
    "faster_rcnn_fpn",
    "faster_rcnn_fpn_carafe",
    "faster_rcnn_dcnv2_fpn",
    "mask_rcnn_fpn",
    "mask_rcnn_fpn_carafe",
)
# Float32 for two cases, which have every layer and head between them.
CASES_AND_DTYPES = (
    *((name, "float64") for name in CASES),
    ("faster_rcnn_dcnv2_fpn", "float32"),
    ("mask_rcnn_fpn_carafe", "float32"),
)
STRIDES = (4, 8, 16, 32, 64)


@functools.cache
def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


@functools.cache
def describe(name: str) -> dict[str, Any]:
    """Return the fields of a detector: `ctor`, and `config` as mmdetection has it."""
    return json.loads((FOLDER / "cases.json").read_text())[name]


def images_of(name: str) -> range:
    return range(len(load(name)["meta/img_shape"]))


def padded(coordinates: np.ndarray, slots: int, *, dtype: DTypeLike) -> Boxes:
    """Return boxes in a number of slots."""
    missing = slots - len(coordinates)
    return Boxes(
        jnp.asarray(np.pad(coordinates, ((0, missing), (0, 0))), dtype),
        jnp.arange(slots) < len(coordinates),
    )


def targets_of(name: str, image: int, *, dtype: DTypeLike, slots: int = 6) -> Boxes:
    """Return the ground truth of an image; no image has more than four boxes."""
    return padded(load(name)[f"gt/{image}/bboxes"], slots, dtype=dtype)


def tolerance(name: str, stage: str, *, dtype: DTypeLike, stored: DTypeLike) -> float:
    """Return the largest difference, relative to the largest value of the reference.

    Args:
      name: Of the case.
      stage: A key of `peer_f32_vs_f64_max_rel` in `cases.json`, such as "test/neck".
      dtype: The computation's.
      stored: The reference's; results of float64 may be stored in float32.
    """
    if np.dtype(dtype) == np.float64:
        return 1e-8 if np.dtype(stored) == np.float64 else 1e-6
    least = 2e-4 if stage == "gradients" else 2e-5
    return max(10 * describe(name)["peer_f32_vs_f64_max_rel"][stage], least)


def check_close(actual: Any, expected: np.ndarray, *, name: str, stage: str) -> None:
    """Compare an array with its reference, within the tolerance of its stage."""
    actual = np.asarray(actual)
    rtol = tolerance(name, stage, dtype=actual.dtype, stored=expected.dtype)
    atol = rtol * float(np.max(np.abs(expected), initial=0))
    chex.assert_trees_all_close(
        actual.astype(np.float64), expected.astype(np.float64), rtol=0, atol=atol
    )
