"""Default block sizes, and the reasons why a call cannot run."""

import math
from typing import get_args

import jax.numpy as jnp

from carafe_pallas.call import Call, Launch
from carafe_pallas.mosaic_gpu.plan import Plan, TuningConfig

_DTYPES = ("float32", "bfloat16", "float16")
_SHARED_LIMIT = 227 * 1024  # Bytes that a block may use, of the 228 KiB of an SM.
_SHARED_TARGET = 76 * 1024  # Bytes of a block if three share an SM.
_COPY_LIMIT = 256  # Elements along each axis of a TMA box.


def refusal(call: Call) -> str | None:
    """Return why these launches cannot run the call; None if they can."""
    groups = call.geometry.groups
    if call.channels % (8 * groups):
        return f"`C / groups` must be a multiple of 8, got {call.channels} / {groups}"
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    if call.geometry.kernel_size == groups == 1:
        return "`kernel_size` must be at least 3 with one group, got 1"
    if (largest := _largest(call)) >= 2**31:
        return f"arrays must have less than 2**31 elements, got {largest}"
    reasons = (_too_large(call, launch) for launch in get_args(Launch))
    return next((reason for reason in reasons if reason is not None), None)


def _too_large(call: Call, launch: Launch) -> str | None:
    """Return why the default blocks of a launch do not fit; None if they do."""
    plan = Plan(call, heuristic(call, launch), interpret=False)
    if (shared := plan.shared_bytes(launch)) > _SHARED_LIMIT:
        return (
            f"`scale` and `kernel_size` need {shared} bytes of shared memory in "
            f"`{launch}`, the limit is {_SHARED_LIMIT}"
        )
    boxes = (*plan.patch, *plan.output, *plan.source, *plan.readers)
    if (longest := max(box.size for box in boxes)) > _COPY_LIMIT:
        return (
            f"`scale` and `kernel_size` need TMA boxes of {longest} pixels in "
            f"`{launch}`, the limit is {_COPY_LIMIT}"
        )
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks by shared memory and registers alone; nothing here was measured."""
    channels = call.channels // call.geometry.groups
    narrow = jnp.dtype(call.features_dtype).itemsize < 4
    widest = 64 if launch == "grad_kernels" else 128
    if launch == "reassemble" and not narrow:
        widest = 64
    block = next(b for b in (128, 64, 32, 16, 8) if b <= widest and not channels % b)
    # With more phases, the sums of two neighbours would not fit in registers.
    run = 2 if launch == "reassemble" and block == 128 and _up(call) <= 2 else 1
    for rows in (4, 2, 1):
        config = TuningConfig(rows=rows, tiles=1, channels=block, run=run)
        if _fits(Plan(call, config, interpret=False), launch):
            break
    return config


def _fits(plan: Plan, launch: Launch) -> bool:
    """Return whether several blocks fit on an SM, each with its sums in registers."""
    if plan.shared_bytes(launch) > _SHARED_TARGET:
        return False
    if launch != "grad_features":
        return plan.config.rows <= 2
    # All sums of a block are live at once, and the code is unrolled: limit both.
    rows = plan.call.geometry.rows
    readers = sum(len(rows.readers(residue)) for residue in range(rows.down)) ** 2
    return plan.config.rows * rows.down**2 <= 8 and plan.config.rows * readers <= 400


def _up(call: Call) -> int:
    return call.geometry.columns.up


def _largest(call: Call) -> int:
    """Return the number of elements of the largest array."""
    n, rows, columns, channels = call.anchor_kernels_shape
    # The gradient of the kernels has rows of whole blocks.
    padded = n, rows, columns + _COPY_LIMIT, channels
    return max(map(math.prod, (call.features_shape, call.output_shape, padded)))
