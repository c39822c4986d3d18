"""The order in which to try backends, and the reasons why one cannot run a call."""

import re

from carafe_pallas.backend import PLATFORMS, Backend, module_of
from carafe_pallas.call import Call


def takes_pixels(backend: Backend, call: Call) -> bool:
    """Return whether a backend takes the kernels of a call by output pixel."""
    return call.normalizer is None and module_of(backend).KERNELS_BY_PIXEL


def best_first(platform: str, call: Call) -> tuple[Backend, ...]:
    """Return the backends of a platform in the order in which to try them.

    Measured on an H200: for 16-bit dtypes Triton, on tensor cores, is faster than
    Mosaic GPU, on CUDA cores; for float32 it is slower.
    """
    backends = PLATFORMS.get(platform, ())
    narrow = max(call.features_dtype.itemsize, call.kernels_dtype.itemsize) < 4
    return backends[::-1] if platform == "cuda" and narrow else backends


def refusal(
    backend: Backend,
    call: Call,
    *,
    device_kind: str | None,
) -> str | None:
    """Return why a backend cannot run a call; None if it can.

    Args:
      backend: Name of the backend.
      call: The call to run.
      device_kind: JAX's name of the device that is compiled for. None if unknown: the
        device then counts as recent enough.
    """
    if not call.is_of_known_size:  # In a program that is exported.
        rows, columns = call.geometry.rows, call.geometry.columns
        sizes = f"{call.batch} maps of {rows.size} x {columns.size} pixels"
        return f"batch and maps must be of known sizes, got {sizes}"
    for name in ("features", "kernels"):
        dtype = getattr(call, f"{name}_dtype")
        if dtype.itemsize > 4:
            return f"`{name}` must be of at most 32 bits, got {dtype}"
    if device_kind is not None:
        reason = _too_old(backend, device_kind)
        if reason is not None:
            return reason
    return module_of(backend).refusal(call)


def _too_old(backend: Backend, device_kind: str) -> str | None:
    match backend:
        case "mosaic_tpu":
            generation = re.match(r"TPU v(\d+)", device_kind)
            if generation and int(generation[1]) < 4:
                return f"the TPU must be a v4 or later, got {device_kind!r}"
        case "mosaic_gpu":
            if not _is_hopper(device_kind):
                return f"the GPU must be of the Hopper generation, got {device_kind!r}"
        case "triton":
            if re.search(r"\b(P100|V100|T4|TITAN|RTX [12]\d)", device_kind):
                return f"the GPU must be of sm_80 or later, got {device_kind!r}"
    return None


def _is_hopper(device_kind: str) -> bool:
    return re.search(r"\b(H100|H200|H20|H800|GH200)\b", device_kind) is not None
